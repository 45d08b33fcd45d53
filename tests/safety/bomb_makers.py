"""Small files that ask for much: memory, pictures, rows, time."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
from safety.hostile_makers import boxes, element, run_ffmpeg

ZEROS = bytes(1 << 20)


def png(width: int, height: int) -> bytes:
    """A black PNG picture of one bit per pixel, a thousandth of its pixels' size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        whole = kind + content
        return struct.pack(">I", len(content)) + whole + struct.pack(">I", zlib.crc32(whole))

    packer = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    pixels = b"".join([*(packer.compress(row) for _ in range(height)), packer.flush()])
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def jpeg(width: int, height: int, folder: Path) -> bytes:
    """A small JPEG picture whose header claims another size."""
    path = folder / "small.jpg"
    run_ffmpeg("-f", "lavfi", "-i", "color=red:s=16x16", "-frames:v", "1", path)
    data = bytearray(path.read_bytes())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    path.unlink()
    return bytes(data)


def write_pictures(
    path: Path, codec: str, pictures: Iterable[bytes], size: tuple[int, int] = (16, 16)
) -> Path:
    """A Matroska or QuickTime file of pictures already encoded, at 25 frames a second."""
    with av.open(f"file:{path}", "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = size
        stream.pix_fmt = "rgb24" if codec == "png" else "yuvj420p"
        for number, picture in enumerate(pictures):
            packet = av.Packet(picture)
            packet.stream, packet.time_base = stream, Fraction(1, 25)
            packet.pts = packet.dts = number
            packet.is_keyframe = True
            container.mux(packet)
    return path


def h264(size: tuple[int, int], frames: int, path: Path, claim: int | None = None) -> bytes:
    """A baseline H.264 byte stream; with ``claim`` its header says a square of that many pixels."""
    blue = f"color=blue:s={size[0]}x{size[1]}:r=25"
    plain = ("-c:v", "libx264", "-profile:v", "baseline", "-x264-params", "bframes=0:ref=1")
    run_ffmpeg("-f", "lavfi", "-i", blue, "-frames:v", str(frames), *plain, "-f", "h264", path)
    units = path.read_bytes().split(b"\0\0\1")
    path.unlink()
    for number, unit in enumerate(units):
        if claim and unit and unit[0] & 31 == 7:
            units[number] = _parameter_set(claim // 16)
    return b"\0\0\1".join(units)


def _parameter_set(blocks: int) -> bytes:
    """A sequence parameter set (ITU-T H.264, 7.3.2.1.1): profile 66, level 6.2, no cropping."""

    def number(value: int) -> str:
        binary = f"{value + 1:b}"
        return "0" * (len(binary) - 1) + binary

    # Identity, frame number of 4 bits, order type 2, 16 references; gaps; size; frames only,
    # 8x8 inference, no cropping, no VUI; the closing bit.
    fields = [number(n) for n in (0, 0, 2, 16)] + ["0", number(blocks - 1), number(blocks - 1)]
    bits = "".join(fields) + "1100" + "1"
    bits += "0" * (-len(bits) % 8)
    return bytes([0x67, 66, 0xC0, 62]) + int(bits, 2).to_bytes(len(bits) // 8)


def write_nothing(path: Path, frames: int) -> Path:
    """Black frames of 16x16 pixels, some 15 bytes each, in thousands."""
    thousand = path.with_name(f"thousand-{path.name}.mp4")
    black = ("-f", "lavfi", "-i", "color=black:s=16x16:r=25", "-frames:v", "1000")
    run_ffmpeg(*black, "-c:v", "libx264", "-preset", "ultrafast", "-g", "1000", thousand)
    again = ("-stream_loop", str(frames // 1000 - 1), "-i", thousand, "-c", "copy", path)
    run_ffmpeg(*again, timeout=120)
    thousand.unlink()
    return path


def write_silence(path: Path, seconds: int) -> Path:
    """Silence as FLAC in the largest blocks there are, some 6 bytes a second."""
    silence = ("-f", "lavfi", "-i", "anullsrc=r=16000:cl=mono", "-t", str(seconds))
    run_ffmpeg(*silence, "-c:a", "flac", "-frame_size", "65535", path)
    return path


def write_wav(path: Path, *, rate: int, channels: int, seconds: float = 0.1) -> Path:
    """A PCM WAV file of zeros; its header claims what is asked for."""
    step = 2 * channels
    data = bytes(step * max(1, int(rate * seconds)))
    header = struct.pack("<HHIIHH", 1, channels, rate, min(rate * step, 2**32 - 1), step, 16)
    body = b"WAVEfmt " + struct.pack("<I", len(header)) + header
    body += b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path


def write_tables(path: Path, source: Path, samples: int) -> Path:
    """An MP4 file whose tables claim that many samples in the space of a few entries."""
    tables = {
        b"stts": struct.pack(">IIII", 0, 1, samples, 1),
        b"stsc": struct.pack(">IIIII", 0, 1, 1, samples, 1),
        b"stsz": struct.pack(">III", 0, 1, samples),
    }
    path.write_bytes(boxes(source.read_bytes(), tables.get))
    return path


def write_packed_header(path: Path, megabytes: int) -> Path:
    """A QuickTime file whose compressed header (``cmov``) unpacks to megabytes of zeros."""
    packed = _packed_zeros(megabytes)
    unpacked = struct.pack(">I", megabytes << 20)
    content = _box(b"dcom", b"zlib") + _box(b"cmvd", unpacked + packed)
    path.write_bytes(_box(b"ftyp", b"qt  \0\0\0\0qt  ") + _box(b"moov", _box(b"cmov", content)))
    return path


def _packed_zeros(megabytes: int) -> bytes:
    """Zeros as zlib packs them, but for the checksum at the very end."""
    packer = zlib.compressobj(9)
    # After a full flush a block stands for itself, so that one can be repeated.
    first, second = (packer.compress(ZEROS) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + second * (megabytes - 1) + packer.flush()


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content) + 8) + kind + content


def write_packed_frames(path: Path, frames: int, megabytes: int) -> Path:
    """A Matroska file of frames packed by zlib (``ContentCompression``), each megabytes of zeros.

    The track's codec is raw video of 16x16 pixels.
    """
    packed = _packed_zeros(megabytes)
    h = bytes.fromhex
    compression = element(h("5034"), element(h("4254"), b"\0"))
    encodings = element(h("6d80"), element(h("6240"), compression))
    video = element(h("e0"), element(h("b0"), b"\x10") + element(h("ba"), b"\x10"))
    track = element(h("d7"), b"\1") + element(h("73c5"), b"\1") + element(h("83"), b"\1")
    track += element(h("86"), b"V_MPEG4/ISO/ASP") + video + encodings
    blocks = b"".join(
        element(h("a3"), b"\x81" + struct.pack(">hB", 40 * number, 128) + packed)
        for number in range(frames)
    )
    header = element(h("1a45dfa3"), element(h("4282"), b"matroska"))
    info = element(h("1549a966"), element(h("2ad7b1"), (1_000_000).to_bytes(4)))
    tracks = element(h("1654ae6b"), element(h("ae"), track))
    cluster = element(h("1f43b675"), element(h("e7"), b"\0") + blocks)
    path.write_bytes(header + element(h("18538067"), info + tracks + cluster))
    return path
