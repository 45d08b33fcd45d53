"""What a forward pass keeps for the backward one, counted on tensors that have shapes alone."""

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

pytest.importorskip("triton", reason="triton is not installed")

from grjca.fusion.config import FusionConfig
from grjca.fusion.fusions import build_fusion
from grjca.fusion.kernels.choice import set_core


def kept(core: str, frames: int, batch: int, mix: str) -> int:
    """Bytes that the backward pass of the paper's fusion needs, weights aside, on a GPU."""
    config = FusionConfig(
        1, 1, visual_channels=(256,), audio_channels=(128,), window=frames, time_mix=mix
    )
    found: dict[int, torch.UntypedStorage] = {}

    def keep(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        found[storage._cdata] = storage
        return x

    with FakeTensorMode(), torch.device("cuda"):
        fusion = build_fusion(config)
        set_core(fusion, core)
        inputs = [torch.empty(batch, frames, d, requires_grad=True) for d in (256, 128)]
        there = torch.ones(batch, frames, dtype=torch.bool)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            features, _ = fusion(*inputs, there)
        for weight in fusion.parameters():
            found.pop(weight.untyped_storage()._cdata, None)
        del features
        return sum(storage.nbytes() for storage in found.values())


@pytest.mark.parametrize("frames", [100, 300, 1000, 3000])
@pytest.mark.parametrize("mix", ["none", "dense"])
def test_the_kernels_keep_at_most_half_of_what_pytorch_keeps(frames: int, mix: str) -> None:
    plain, kernels = (kept(core, frames, 12, mix) for core in ("torch", "triton"))
    assert kernels <= plain / 2
