"""What a benchmark ran on: processor, memory, accelerator, and the versions that matter."""

from __future__ import annotations

import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

import grjca
from grjca.pipeline.executors import available_cores
from grjca.stages.ffmpeg import ffmpeg_version, find_ffmpeg

PACKAGES = ("av", "h5py", "numpy", "onnxruntime", "opencv-python", "torch", "torchaudio")


def describe() -> dict[str, Any]:
    """Machine and versions, JSON-able; nothing that tells whose machine it is."""
    import torch

    accelerator = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "machine": {
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            "processor": _processor(),
            "cores": available_cores(),
            "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
            "accelerator": accelerator,
        },
        "versions": {
            "grjca": grjca.__version__,
            "python": platform.python_version(),
            "ffmpeg": ffmpeg_version(find_ffmpeg()),
            **{name: metadata.version(name) for name in PACKAGES},
        },
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.processor()
