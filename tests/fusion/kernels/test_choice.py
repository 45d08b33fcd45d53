"""Which core is chosen, without running it."""

from importlib import metadata, util

import pytest
import torch

from grjca.errors import UsageError
from grjca.fusion.config import FusionConfig
from grjca.fusion.device import choose_machine
from grjca.fusion.kernels.choice import choose, set_core
from grjca.fusion.model import FusionModel
from grjca.fusion.train_config import TrainConfig

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(autouse=True)
def _an_nvidia_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if torch found one; nothing runs on it."""
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "some GPU")
    monkeypatch.setattr(util, "find_spec", lambda _: object())
    monkeypatch.setattr(metadata, "version", lambda _: "3.8.0")


def test_auto_takes_the_kernels_on_cuda_and_says_so() -> None:
    assert choose("auto", CUDA) == ("triton", "attention core: Triton kernels")
    assert choose("triton", CUDA) == ("triton", "attention core: Triton kernels")
    assert choose("torch", CUDA) == ("torch", "")
    assert choose("auto", CPU) == choose("torch", CPU) == ("torch", "")


@pytest.mark.parametrize(
    ("owner", "name", "value", "cause"),
    [
        (util, "find_spec", lambda _: None, "the package triton is not installed"),
        (metadata, "version", lambda _: "3.1.0", "triton 3.1.0 is older than 3.3"),
        (torch.version, "hip", "6.4", "for NVIDIA's GPUs"),
        (torch.cuda, "get_device_capability", lambda _: (7, 5), "some GPU has no products in TF32"),
    ],
)
def test_what_stands_in_the_way_is_said_in_a_line(
    owner: object, name: str, value: object, cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, value)
    core, note = choose("auto", CUDA)
    assert core == "torch"
    assert note.startswith("attention core: PyTorch, ")
    assert cause in note
    with pytest.raises(UsageError, match=r"--attention triton: train: .*--attention torch") as told:
        choose("triton", CUDA)
    assert cause in str(told.value)
    assert "\n" not in str(told.value)


def test_kernels_on_a_cpu_are_refused() -> None:
    with pytest.raises(UsageError, match="need a CUDA device, this is a CPU"):
        choose_machine(TrainConfig(device="cpu", attention="triton"))
    assert choose_machine(TrainConfig(device="cpu")).attention == "torch"


def test_an_unknown_core() -> None:
    with pytest.raises(ValueError, match="attention must be auto, torch or triton"):
        TrainConfig(attention="cuda")  # type: ignore[arg-type]


def test_plain_pytorch_again() -> None:
    model = FusionModel(FusionConfig(6, 4))
    set_core(model, "torch")
    held = [module.kernel for module in model.modules() if hasattr(module, "kernel")]
    assert held
    assert not any(held)
