"""Shared fixtures: the real clips, where they exist, and small generated ones."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def media() -> Path:
    """The folder of real clips beside the checkout; tests that need it say so when they skip."""
    folder = Path(__file__).resolve().parents[1].parent / "shared" / "media"
    if not folder.is_dir():
        pytest.skip("the real clips (../shared/media) are not here")
    return folder
