"""Decodes the images of a folder; runs as a process of its own, since images may be hostile.

``python -m grjca.stages.image_child FOLDER NUMBER`` says that it is ready, then writes the images
from that number on: each as its RGB bytes behind a line of its number, height and width, or, where
it cannot be read, a line of its number, ``!`` and the reason.
"""

from __future__ import annotations

import resource
import stat
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grjca.errors import one_line
from grjca.stages.ffmpeg import MAX_PIXELS
from grjca.stages.images import FORMATS, READY, numbered_images

_CPU_SECONDS = 120

# Pillow's parsers are written in Python and run into anything when a file is damaged.
_BROKEN = (
    *(OSError, SyntaxError, ValueError, EOFError, MemoryError, ArithmeticError, LookupError),
    *(TypeError, AttributeError, struct.error, zlib.error),
)


def decoded(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of an image file, as ``ImageFolder`` describes it.

    Raises:
        ValueError: The picture is too large or the path no regular file; others, whatever the
            image's parser runs into.
    """
    from PIL import Image

    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("this is not a regular file")
    with Image.open(path, formats=sorted(set(FORMATS.values()))) as image:
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"{image.width}x{image.height} pixels are too many")
        if image.mode.startswith("I"):
            # Grey of 16 bits, which Pillow would clip to 8 and not scale.
            grey = np.asarray(image).astype(np.int64).clip(0, 65_535) >> 8
            return np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2)
        return np.asarray(image.convert("RGB"))


def main(name: str, first: str) -> int:
    """Decode a folder's images in this process and write them to standard output."""
    from PIL import Image

    # The limit on pixels here is MAX_PIXELS; Pillow would only warn.
    Image.MAX_IMAGE_PIXELS = None
    images = {n: path for n, path in numbered_images(Path(name)).items() if n >= int(first)}
    seconds = _CPU_SECONDS + len(images)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    out = sys.stdout.buffer
    out.write(READY)
    out.flush()
    for number, path in images.items():
        try:
            picture = decoded(path)
        except _BROKEN as error:
            reason = one_line(str(error) or type(error).__name__).encode(errors="replace")
            out.write(b"%d ! %s\n" % (number, reason[:300]))
        else:
            out.write(b"%d %d %d\n" % (number, *picture.shape[:2]))
            out.write(np.ascontiguousarray(picture).data)
        # An image that ends this process must not take the ones before it along.
        out.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
