"""Tensors and a JSON document in one safetensors file, written in one step, read without code."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from grjca.errors import GrjcaError
from grjca.files import written_in_one_step

Step = Callable[[Path], AbstractContextManager[Path]]
"""Gives a temporary path for a file, which takes the file's name when the context ends."""

_KEY = "grjca"


@dataclass(frozen=True)
class FileKind:
    """A kind of file: what its document says it is.

    Attributes:
        stage: The part of the work that reads it, for messages.
        format: Its name.
        version: The newest version this program writes and reads.
        remedy: What to do when a file is not of this kind.
    """

    stage: str
    format: str
    version: int
    remedy: str


def write_tensors(
    path: Path,
    kind: FileKind,
    document: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    step: Step = written_in_one_step,
) -> None:
    """Write a file; killed at any instant, the old one or the new one is there.

    Args:
        path: The file.
        kind: What it is.
        document: JSON-able values; NaN and infinity are kept.
        tensors: Of any device.
        step: How the file takes its name.

    Raises:
        GrjcaError: The file cannot be written.
    """
    text = json.dumps({"format": kind.format, "version": kind.version, **document})
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with step(path) as temporary:
        try:
            save_file(plain, temporary, metadata={_KEY: text})
        except SafetensorError as error:
            # The library reports a full disk as an error of its own.
            raise OSError(str(error)) from error


def read_tensors(file: Path, kind: FileKind) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read a file; no code in it is run.

    Args:
        file: The file.
        kind: What it must be.

    Returns:
        The document, and the tensors on the CPU.

    Raises:
        GrjcaError: A file of another kind, of a newer version, or damaged.
    """
    try:
        with file.open("rb") as stream:
            start = stream.read(9)
        # A zip or a pickle's protocol mark: what torch.save writes. Safetensors starts with the
        # length of its header, which may look like either, and then the header's brace.
        if len(start) == 9 and start.startswith((b"PK", b"\x80")) and not start.endswith(b"{"):
            raise GrjcaError(kind.stage, file, "a pickle of torch.save, which is not loaded "
                             "because it can run code", kind.remedy)  # fmt: skip
        with safe_open(file, framework="pt") as opened:
            text = (opened.metadata() or {}).get(_KEY)
            document = json.loads(text) if text else None
            if not isinstance(document, dict) or document.get("format") != kind.format:
                cause = f"safetensors, but not a {kind.stage} written by 'grjca train'"
                raise GrjcaError(kind.stage, file, cause, kind.remedy)
            version = document["version"]
            if not isinstance(version, int) or version > kind.version:
                cause = f"{kind.stage} version {version}, this program reads up to {kind.version}"
                raise GrjcaError(kind.stage, file, cause, "Update grjca.")
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        cause = f"not a readable safetensors file ({error})"
        raise GrjcaError(kind.stage, file, cause, kind.remedy) from error
    return document, tensors
