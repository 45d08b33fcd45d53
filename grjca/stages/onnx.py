"""ONNX models on the CPU, with threads under our control."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def cpu_session(model: bytes | Path, threads: int = 1) -> Any:
    """Open an ONNX model for the CPU.

    Thread counts are set here because onnxruntime ignores the usual environment variables, and
    spinning is off because idle threads would otherwise burn the cores that other clips need.

    Args:
        model: The serialised model, or a file that holds it.
        threads: Threads per operator; a fixed number keeps results reproducible.

    Returns:
        An ``onnxruntime.InferenceSession``.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 3
    source = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
