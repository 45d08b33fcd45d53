"""What can only be found out by loading it, in a process of its own.

A library that is broken may end the process that loads it, or never come back; that is then a
finding like others. ``python -m grjca.doctor.child CHECK [ARGUMENT]`` prints a finding per line.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

from grjca.doctor.findings import Finding
from grjca.errors import GrjcaError

LIBRARIES = (
    "numpy", "h5py", "cv2", "av", "ffmpeg", "PIL", "yaml", "safetensors", "skimage",
    "scipy.optimize", "dask", "distributed",
)  # fmt: skip
"""What an extraction imports beside torch and onnxruntime."""

_KINDS = {"detector": "face detectors", "visual": "visual embedders", "audio": "audio embedders"}
_SEPARATE = "egemaps"
_GPU = "gpu and runtimes"


def libraries() -> Iterator[Finding]:
    """Whether the libraries load, onnxruntime's providers, and what clusters need."""
    for module in LIBRARIES:
        broken = _broken(module)
        if broken:
            yield Finding("software", f"import {module}", "problem", broken,
                          "Install it anew.", needed=True)  # fmt: skip
    broken = _broken("onnxruntime")
    if broken:
        remedy = "Install it anew: pip install --force-reinstall onnxruntime."
        yield Finding(_GPU, "onnxruntime", "problem", broken, remedy, needed=True)
    else:
        onnxruntime = importlib.import_module("onnxruntime")
        providers = ", ".join(onnxruntime.get_available_providers())
        yield Finding(_GPU, "onnxruntime", "ok", f"{onnxruntime.__version__}: {providers}")
    cause, remedy = "only --cluster needs it", "pip install dask-jobqueue"
    yield _version("cluster", "dask-jobqueue", cause, remedy)


def networks() -> Iterator[Finding]:
    """Torch and the GPU, Triton, and every component but the one that takes seconds of its own."""
    broken = _broken("torch")
    if broken:
        remedy = "Install it anew: pip install --force-reinstall torch torchaudio."
        yield Finding(_GPU, "torch", "problem", broken, remedy, needed=True)
    else:
        yield from _torch()
    remedy = "It comes with torch's builds for CUDA on Linux."
    yield _version(_GPU, "triton", "only kernels for a GPU need it", remedy)
    yield from _components(separate=False)


def egemaps() -> Iterator[Finding]:
    """The component whose package takes seconds to load on its own."""
    yield from _components(separate=True)


def store(root: str) -> Iterator[Finding]:
    """How a store is: see :func:`grjca.doctor.store_health.health`."""
    from grjca.doctor.store_health import health

    yield from health(Path(root))


CHECKS: dict[str, Callable[..., Iterator[Finding]]] = {
    "libraries": libraries,
    "networks": networks,
    "egemaps": egemaps,
    "store": store,
}


def _torch() -> Iterator[Finding]:
    import torch

    threads = f"{torch.__version__}, {torch.get_num_threads()} threads"
    yield Finding(_GPU, "torch", "ok", threads)
    try:
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        for number in range(count):
            about = torch.cuda.get_device_properties(number)
            memory = f"{about.total_memory / (1 << 30):.0f} GiB"
            yield Finding(_GPU, f"cuda:{number}", "ok", f"{about.name}, {memory}")
    except (RuntimeError, AssertionError) as error:
        yield Finding(_GPU, "cuda", "problem", str(error), "Check the driver with: nvidia-smi.")
        return
    if not count:
        built = f"torch built for CUDA {torch.version.cuda}" if torch.version.cuda else "CPU build"
        yield Finding(_GPU, "cuda", "missing", f"no GPU seen ({built})", "Work is done on the CPU.")


def _components(*, separate: bool) -> Iterator[Finding]:
    from grjca.stages.catalog import CATALOG

    for kind, components in CATALOG.items():
        for place, name in enumerate(components):
            if (name == _SEPARATE) == separate:
                yield _component(kind, name, default=place == 0)


def _component(kind: str, name: str, *, default: bool) -> Finding:
    from grjca.stages.catalog import build

    section = _KINDS[kind]
    try:
        component = build(kind, name)  # type: ignore[arg-type]
    except GrjcaError as error:
        return Finding(section, name, "missing", error.cause, error.remedy, default)
    # Whatever a library raises that is not whole; the extraction would end the same way.
    except Exception as error:  # noqa: BLE001
        told = f"it cannot be loaded: {type(error).__name__}: {error}"
        return Finding(section, name, "problem", told, "Install its packages anew.", default)
    described = "the default; " if default else ""
    return Finding(section, name, "ok", f"{described}{component.summary}", "", default)


def _version(section: str, package: str, cause: str, remedy: str) -> Finding:
    """The version of a package that nothing needs by default."""
    try:
        return Finding(section, package, "ok", metadata.version(package))
    except metadata.PackageNotFoundError:
        return Finding(section, package, "missing", cause, remedy)


def _broken(module: str) -> str:
    """Why a module cannot be imported; empty where it can."""
    try:
        importlib.import_module(module)
    # A broken extension module raises what it likes.
    except Exception as error:  # noqa: BLE001
        return f"{type(error).__name__}: {error}"
    return ""


def main(check: str, *arguments: str) -> None:
    """Print the findings of one check, a line of JSON each, as they are made."""
    for finding in CHECKS[check](*arguments):
        print(json.dumps(dataclasses.asdict(finding)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
