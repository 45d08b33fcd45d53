"""Ways to damage a file, as pure functions of its bytes and a random generator."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

Mutator = Callable[[bytearray, random.Random], None]

HEAD = 1024
"""Bytes at the beginning that count as header where no field is known by its name."""

MOST_CHANGES = 3

_FIELDS = re.compile(
    rb"ftyp|moov|mvhd|trak|tkhd|elst|mdhd|hdlr|stsd|avc1|avcC|hvcC|mp4a|esds|stts|ctts|stss|stsc"
    rb"|stsz|stco|co64|mdat|moof|trun|sidx|RIFF|AVI |LIST|avih|strh|strf|idx1|movi|fmt |data"
    rb"|OggS|fLaC|\x1a\x45\xdf\xa3|\x15\x49\xa9\x66|\x16\x54\xae\x6b|\x1f\x43\xb6\x75"
)
_ODD = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF,
        1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)  # fmt: skip


def mutate(data: bytes, rng: random.Random) -> tuple[bytes, str]:
    """A damaged copy of a file, and what was done to it."""
    damaged = bytearray(data)
    done = []
    for _ in range(rng.randint(1, MOST_CHANGES)):
        name = rng.choice(sorted(MUTATORS))
        MUTATORS[name](damaged, rng)
        done.append(name)
        if not damaged:
            damaged += data[:1]
    return bytes(damaged), ", ".join(done)


def _chunk(data: bytearray, rng: random.Random) -> slice:
    """A part of up to a quarter of the file, often a short one."""
    length = max(1, int(len(data) / 4 * rng.random() ** 4))
    start = rng.randrange(max(1, len(data) - length))
    return slice(start, start + length)


def flip_bits(data: bytearray, rng: random.Random) -> None:
    """Flip 1 to 64 bits anywhere."""
    for _ in range(1 << rng.randint(0, 6)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def flip_header_bits(data: bytearray, rng: random.Random) -> None:
    """Flip 1 to 8 bits near a field's name."""
    at = _field(data, rng)
    for _ in range(1 << rng.randint(0, 3)):
        data[min(at + rng.randrange(64), len(data) - 1)] ^= 1 << rng.randrange(8)


def edit_field(data: bytearray, rng: random.Random) -> None:
    """Write an odd number, or the old one plus or minus a little, into a header's field."""
    width = rng.choice((1, 2, 4, 4, 4, 8))
    order = rng.choice(("big", "little"))
    at = min(max(0, _field(data, rng) + rng.randrange(-4, 32)), max(0, len(data) - width))
    place = slice(at, at + width)
    old = int.from_bytes(data[place], order)  # type: ignore[arg-type]
    new = rng.choice((*_ODD, old + 1, old - 1, old * 2, old // 2)) % (1 << 8 * width)
    data[place] = new.to_bytes(width, order)  # type: ignore[arg-type]


def _field(data: bytearray, rng: random.Random) -> int:
    known = [found.start() for found in _FIELDS.finditer(data)]
    return (
        rng.choice(known) if known and rng.random() < 0.9 else rng.randrange(min(HEAD, len(data)))
    )


def truncate(data: bytearray, rng: random.Random) -> None:
    """Leave out the end."""
    del data[rng.randrange(len(data)) :]


def cut_front(data: bytearray, rng: random.Random) -> None:
    """Leave out the beginning."""
    del data[: _chunk(data, rng).stop]


def drop_chunk(data: bytearray, rng: random.Random) -> None:
    """Leave out a part."""
    del data[_chunk(data, rng)]


def zero_chunk(data: bytearray, rng: random.Random) -> None:
    """Zeros in place of a part, as a hole in a download leaves."""
    place = _chunk(data, rng)
    data[place] = bytes(len(data[place]))


def scramble_chunk(data: bytearray, rng: random.Random) -> None:
    """Noise in place of a part."""
    place = _chunk(data, rng)
    data[place] = rng.randbytes(len(data[place]))


def duplicate_chunk(data: bytearray, rng: random.Random) -> None:
    """A part twice, the second time anywhere."""
    part = data[_chunk(data, rng)]
    at = rng.randrange(len(data) + 1)
    data[at:at] = part


def swap_chunks(data: bytearray, rng: random.Random) -> None:
    """Two parts of one length in each other's place."""
    first, second = _chunk(data, rng), _chunk(data, rng)
    length = min(first.stop - first.start, second.stop - second.start)
    one, other = (slice(part.start, part.start + length) for part in (first, second))
    data[one], data[other] = data[other], data[one]


MUTATORS: dict[str, Mutator] = {
    mutator.__name__.replace("_", " "): mutator
    for mutator in (
        flip_bits, flip_header_bits, edit_field, truncate, cut_front, drop_chunk, zero_chunk,
        scramble_chunk, duplicate_chunk, swap_chunks,
    )
}  # fmt: skip
"""All of them, by name."""
