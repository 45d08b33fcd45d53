"""Shared fixtures: the real clips, where they exist, and small generated ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Tests run side by side; a process's many threads would fight over the same cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def media() -> Path:
    """The folder of real clips beside the checkout; tests that need it say so when they skip."""
    folder = Path(__file__).resolve().parents[1].parent / "shared" / "media"
    if not folder.is_dir():
        pytest.skip("the real clips (../shared/media) are not here")
    return folder
