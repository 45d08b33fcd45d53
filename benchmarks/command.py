"""``grjca extract`` as a process of its own, as a shell would start it."""

from __future__ import annotations

import sys
from pathlib import Path

GRJCA = [sys.executable, "-c", "from grjca.cli import main; main()"]


def extract_command(
    clips: Path, store: Path, *, visual: str, audio: str, workers: int
) -> list[str]:
    """The command line that extracts clips into a store."""
    return [
        *GRJCA, "extract", str(clips), "--store", str(store), "--visual", visual,
        "--audio", audio, "--workers", str(workers), "--quiet",
    ]  # fmt: skip
