"""ONNX models on the CPU, with threads under our control and all weights inside one file."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from grjca.errors import UsageError

GRAPHS = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse",
    },
}  # fmt: skip
"""Field numbers of the messages in which tensors lie (onnx.proto3 of the ONNX standard)."""

EXTERNAL_DATA, DATA_LOCATION = 13, 14
"""Fields of a tensor that tell of numbers outside the file."""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Wire types of protocol buffers."""


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
    onnxruntime = _silent("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 3
    source = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def _silent(module: str) -> Any:
    """Import onnxruntime or a part of it."""
    # Its Linux packages else send usage events, and write into the home folder for that.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    return importlib.import_module(module)


def open_given(path: Path, model: bytes, threads: int = 1) -> Any:
    """Open a model that the user gave, if it reads no other file.

    Args:
        path: The file it came from, for the message.
        model: The file's bytes.
        threads: Threads per operator.

    Returns:
        An ``onnxruntime.InferenceSession``.

    Raises:
        UsageError: It is no ONNX model that onnxruntime can run, or parts of it lie in other
            files.
    """
    try:
        elsewhere = reads_other_files(model)
    except ValueError as error:
        raise UsageError("weights", path, f"no ONNX model: {error}", "Give another.") from error
    if elsewhere:
        cause = "its weights lie in another file, which is not read"
        remedy = (
            "Put all into one file: onnx.save_model(onnx.load(FILE), NEW), or export with "
            "external_data=False."
        )
        raise UsageError("weights", path, cause, remedy)
    with runtime_errors("weights", path, "Give a model that onnxruntime can run."):
        return cpu_session(model, threads)


@contextlib.contextmanager
def runtime_errors(stage: str, source: object, remedy: str) -> Iterator[None]:
    """Within it, what onnxruntime raises becomes one of this package's errors.

    Args:
        stage: The stage that runs.
        source: The model, for the message.
        remedy: What to do, for the message.

    Raises:
        UsageError: onnxruntime raised something; the message has its words.
    """
    state = _silent("onnxruntime.capi.onnxruntime_pybind11_state")
    raised = (
        state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf,
        state.NotImplemented, state.RuntimeException, state.EPFail, RuntimeError, ValueError,
    )  # fmt: skip
    try:
        yield
    except raised as error:
        words = str(error).rpartition("] : ")[2]
        raise UsageError(stage, source, words, remedy) from error


def reads_other_files(model: bytes) -> bool:
    """Whether any tensor of a model, wherever it is nested, lies outside the file.

    The standard allows it, and onnxruntime looks for the other file in the current folder when a
    model is given as bytes. This reads the messages' outlines only and runs nothing.

    Args:
        model: The serialised ``ModelProto``.

    Raises:
        ValueError: It is not one.
    """
    waiting = [("model", memoryview(model))]
    while waiting:
        kind, data = waiting.pop()
        for number, value in fields(data):
            if kind == "tensor":
                outside = number == EXTERNAL_DATA or (number == DATA_LOCATION and value == 1)
                if outside:
                    return True
            elif isinstance(value, memoryview) and number in GRAPHS[kind]:
                waiting.append((GRAPHS[kind][number], value))
    return False


def fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Numbers and values of the fields of a protocol buffers message, in their order.

    Raises:
        ValueError: The bytes are no such message.
    """
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == VARINT:
            value, at = varint(data, at)
            yield number, value
            continue
        if wire == BYTES:
            size, at = varint(data, at)
        elif wire in (FIXED32, FIXED64):
            size = 4 if wire == FIXED32 else 8
        else:
            raise ValueError(f"a field of the unknown kind {wire} at byte {at}")
        if at + size > len(data):
            raise ValueError("it ends in the middle of a field")
        yield number, data[at : at + size]
        at += size


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number of 7 bits to a byte, lowest first, and where it ends.

    Raises:
        ValueError: It has no end, or is longer than 64 bits.
    """
    value = 0
    for place, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at + place + 1
    raise ValueError("a number without an end")
