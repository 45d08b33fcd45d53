"""Which attention core a model runs with: PyTorch's operations, or the Triton kernels."""

from __future__ import annotations

import importlib.util
import os
from importlib import metadata

import torch
from torch import nn

from grjca.errors import UsageError
from grjca.fusion.attention import JointCrossAttention, JointKernel
from grjca.fusion.gates import GateKernel, TemperedGate

OLDEST = (3, 3)
"""Older Triton takes no tuples of tensors; tried are 3.8.0 only."""

CAPABILITY = (8, 0)
"""Older GPUs have no products in TF32 and bfloat16."""


def choose(asked: str, device: torch.device) -> tuple[str, str]:
    """The core for a device.

    Args:
        asked: ``auto``, ``torch`` or ``triton``.
        device: Where the model runs.

    Returns:
        ``torch`` or ``triton``, and a line that says which and why; empty where nothing else was
        to be expected.

    Raises:
        UsageError: The kernels were asked for and cannot run.
    """
    if asked == "torch" or (asked == "auto" and device.type != "cuda"):
        return "torch", ""
    cause, remedy = _obstacle(device)
    if not cause:
        return "triton", "attention core: Triton kernels"
    if asked == "triton":
        raise UsageError("train", "--attention triton", cause, remedy)
    return "torch", f"attention core: PyTorch, {cause}"


def set_core(model: nn.Module, core: str) -> None:
    """Let all joint attention and all gates of a model run with ``torch`` or ``triton``.

    Weights and checkpoints know nothing of it.
    """
    attend: JointKernel | None = None
    choose_weights: GateKernel | None = None
    if core == "triton":
        from grjca.fusion.kernels import layers

        attend, choose_weights = layers.attend, layers.choose_weights
    for module in model.modules():
        if isinstance(module, JointCrossAttention):
            module.kernel = attend
        elif isinstance(module, TemperedGate):
            module.kernel = choose_weights


def _obstacle(device: torch.device) -> tuple[str, str]:
    """Why the kernels cannot run there, and what to do; empty where they can."""
    otherwise = "Leave --attention out, or say --attention torch."
    # Under its interpreter Triton runs anywhere; for tests, it is far too slow for anything else.
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    if device.type != "cuda" and not interpreted:
        return f"the kernels need a CUDA device, this is a {device.type.upper()}", otherwise
    if importlib.util.find_spec("triton") is None:
        return "the package triton is not installed", f"pip install triton (Linux). {otherwise}"
    version = metadata.version("triton")
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        return (
            f"triton {version} is older than {oldest}",
            f"pip install 'triton>={oldest}' with a torch that goes with it. {otherwise}",
        )
    if interpreted:
        return "", ""
    if torch.version.hip is not None:
        return "the kernels have been written for NVIDIA's GPUs", otherwise
    if torch.cuda.get_device_capability(device) < CAPABILITY:
        name = torch.cuda.get_device_name(device)
        return f"{name} has no products in TF32 and bfloat16", otherwise
    return "", ""
