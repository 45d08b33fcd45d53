"""Media files that name other files or servers, and witnesses of whoever follows them.

``{}`` in a text stands for the target: a name beside the file, an absolute path or a web address.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import http.server
import os
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grjca.stages.ffmpeg import find_ffmpeg

HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"
HLS_MAP = (
    '#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:1\n#EXT-X-MAP:URI="{}"\n'
    "#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"
)
HLS_KEY = (
    '#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-KEY:METHOD=AES-128,URI="{}"\n'
    "#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"
)
DASH = (
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"'
    ' mediaPresentationDuration="PT1S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011">'
    '<Period><AdaptationSet mimeType="video/mp4" contentType="video"><Representation id="0"'
    ' bandwidth="1000"><BaseURL>{}</BaseURL></Representation></AdaptationSet></Period></MPD>\n'
)
VOBSUB = (
    "# VobSub index file, v7 (do not modify this line!)\nsize: 720x576\n"
    "id: en, index: 0\ntimestamp: 00:00:00:000, filepos: 000000000\n"
)
SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    ' width="64" height="64"><image xlink:href="{}" width="64" height="64"/></svg>\n'
)
ASX = '<asx version="3.0"><entry><ref href="{}"/></entry></asx>\n'
SDP = (
    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\na=control:{}\n"
    "m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
)
IMF = (
    '<?xml version="1.0"?><CompositionPlaylist'
    ' xmlns="http://www.smpte-ra.org/schemas/2067-3/2016"><Id>urn:uuid:{uuid}</Id>'
    "<ContentTitle>x</ContentTitle><EditRate>25 1</EditRate><SegmentList><Segment>"
    "<Id>urn:uuid:{uuid}</Id><SequenceList><MainImageSequence><Id>urn:uuid:{uuid}</Id>"
    "<TrackId>urn:uuid:{uuid}</TrackId><ResourceList><Resource><Id>urn:uuid:{uuid}</Id>"
    "<EditRate>25 1</EditRate><IntrinsicDuration>25</IntrinsicDuration>"
    "<TrackFileId>urn:uuid:{uuid}</TrackFileId></Resource></ResourceList></MainImageSequence>"
    "</SequenceList></Segment></SegmentList></CompositionPlaylist>\n"
).replace("{uuid}", "8713c020-2489-45f5-a9f7-87be539e20b5")


def run_ffmpeg(*arguments: str | Path, timeout: float = 30) -> subprocess.CompletedProcess[str]:
    """The installed ffmpeg, without any of the project's limits."""
    command = [str(find_ffmpeg()), "-nostdin", "-hide_banner", "-y", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def make_secrets(folder: Path) -> None:
    """One second of red with a tone, as ``secret`` in every container that an attack asks for."""
    folder.mkdir(parents=True, exist_ok=True)
    first = folder / "secret.mp4"
    red = ("-f", "lavfi", "-i", "color=red:s=160x120:d=1:r=25", "-f", "lavfi", "-i", "sine=d=1")
    outputs: list[tuple[str | Path, ...]] = [
        (*red, "-c:v", "libx264", "-c:a", "aac", "-shortest", first),
        ("-i", first, "-c", "copy", folder / "secret.ts"),
        ("-i", first, "-c", "copy", folder / "secret.mov"),
        ("-i", first, "-an", "-c:v", "mpeg2video", "-qscale:v", "2", folder / "secret.mxf"),
        ("-i", first, "-frames:v", "1", folder / "secret.png"),
        ("-i", first, "-an", "-c:v", "mpeg1video", "-f", "mpeg", folder / "secret.sub"),
    ]
    for arguments in outputs:
        done = run_ffmpeg("-v", "error", *arguments)
        assert done.returncode == 0, done.stderr


@dataclass(frozen=True)
class Attack:
    """A file that names another.

    Attributes:
        write: Writes it: the file's path and the target.
        secret: Which of the secrets it names.
        control: ffmpeg's input options under which it follows the name, as a test of the attack;
            None where the installed ffmpeg never does but other programs do.
        rows: Frames of its own; None where it has neither picture nor sound and is refused.
        suffix: Ending under which it also comes, as nature intended.
        web: Whether the control follows a web address too.
    """

    write: Callable[[Path, str], None]
    secret: str
    control: tuple[str, ...] | None
    rows: int | None = None
    suffix: str = ".txt"
    web: bool = True


def text(content: str) -> Callable[[Path, str], None]:
    """A writer of a text file."""
    return lambda path, target: void(path.write_text(content.replace("{}", target)))


def void(_: object) -> None:
    """Nothing, of something."""


def write_concat(path: Path, target: str) -> None:
    path.write_text(f"ffconcat version 1.0\nfile '{target}'\n")


def write_subfile(path: Path, target: str) -> None:
    write_concat(path, f"subfile,,start,0,end,0,,:{target}")


def write_imf(path: Path, target: str) -> None:
    """A composition playlist and, beside it, the map of assets in which the player looks."""
    path.write_text(IMF)
    (path.parent / "ASSETMAP.xml").write_text(
        '<?xml version="1.0"?><AssetMap xmlns="http://www.smpte-ra.org/schemas/429-9/2007/AM">'
        "<AssetList><Asset><Id>urn:uuid:8713c020-2489-45f5-a9f7-87be539e20b5</Id><ChunkList>"
        f"<Chunk><Path>{target}</Path></Chunk></ChunkList></Asset></AssetList></AssetMap>"
    )


def boxes(data: bytes, edit: Callable[[bytes], bytes | None]) -> bytes:
    """An MP4 file (or a box's content) with some boxes replaced and the sizes around corrected.

    ``edit`` gets each box's type in turn and gives its new content, or None to leave it.
    """
    out, at = b"", 0
    while at + 8 <= len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        content = data[at + 8 : at + size]
        new = edit(kind)
        if new is None and kind in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"stbl"):
            new = boxes(content, edit)
        new = content if new is None else new
        out += struct.pack(">I4s", len(new) + 8, kind) + new
        at += size
    return out


def alias(target: str) -> bytes:
    """A QuickTime alias record as a data reference (flags 0: the samples are in another file).

    Layout: Apple's "Alias Manager" record, version 2: volume, name, levels up to the common
    folder (``nlvl`` 1, 1: the same folder), then tagged fields, of which 2 is the path.
    """
    folder, _, name = target.replace("/", ":").rpartition(":")
    full = f"Disk{folder}:{name}" if folder else f"Disk:x:{name}"
    record = bytes(10) + b"\x04Disk".ljust(28, b"\0") + bytes(12)
    record += bytes([len(name)]) + name.encode().ljust(63, b"\0") + bytes(16)
    record += struct.pack(">hh", 1, 1) + bytes(16)
    path = full.encode() + bytes(len(full) % 2)
    record += struct.pack(">hh", 2, len(path)) + path + struct.pack(">hh", -1, 0)
    return struct.pack(">I4sI", len(record) + 12, b"alis", 0) + record


def reference(kind: bytes, target: str) -> bytes:
    """A ``dref`` box's content with one entry: an alias, or a ``url ``."""
    entry = alias(target)
    if kind == b"url ":
        address = target.encode() + b"\0"
        entry = struct.pack(">I4sI", len(address) + 12, kind, 0) + address
    return struct.pack(">II", 0, 1) + entry


def write_movie(path: Path, target: str, *, source: Path, kind: bytes, own: bool = False) -> None:
    """A movie whose samples are said to lie in the target, with or without samples of its own.

    Its tables are those of ``source``; so is the data, at the same offsets, if it has its ``own``
    and only the second track is said to lie elsewhere.
    """
    tracks = 0

    def edit(box: bytes) -> bytes | None:
        nonlocal tracks
        tracks += box == b"trak"
        if box == b"dref" and (tracks == 2 or not own):
            return reference(kind, target)
        return b"" if box == b"mdat" and not own else None

    path.write_bytes(boxes(source.read_bytes(), edit))


def write_gab2(path: Path, target: str) -> None:
    """An AVI with a subtitle packet that is a playlist (which ffmpeg followed until 2017)."""
    size = struct.pack("<I", 0)
    playlist = b"GAB2\0" + struct.pack("<HI", 2, 4) + b"x\0\0\0" + struct.pack("<H", 4) + size
    playlist += HLS.replace("{}", target).encode()
    raw = path.with_name(f"raw-{path.name}.avi")
    tone = ("-f", "lavfi", "-i", "color=blue:s=160x120:d=1:r=25", "-f", "lavfi", "-i", "sine=d=1")
    made = run_ffmpeg(*tone, "-c:v", "mpeg4", "-c:a", "pcm_s16le", "-ar", "44100", raw)
    assert made.returncode == 0, made.stderr
    data = bytearray(raw.read_bytes())
    raw.unlink()
    data[data.index(b"auds") : data.index(b"auds") + 4] = b"txts"
    at = data.index(b"01wb", data.index(b"movi"))
    (room,) = struct.unpack("<I", data[at + 4 : at + 8])
    data[at + 8 : at + 8 + room] = playlist.ljust(room, b"\n")
    path.write_bytes(data)


def vint(value: int) -> bytes:
    """A number as an EBML length of 8 bytes."""
    return struct.pack(">Q", 1 << 56 | value)


def element(identity: bytes, content: bytes) -> bytes:
    """An EBML element."""
    return identity + vint(len(content)) + content


def write_linked_mkv(path: Path, target: str) -> None:
    """A Matroska file that says which file goes on where it ends (``NextFilename``)."""
    blue = ("-f", "lavfi", "-i", "color=blue:s=160x120:d=1:r=25", "-c:v", "mpeg4", "-live", "1")
    made = run_ffmpeg(*blue, "-f", "matroska", path)
    assert made.returncode == 0, made.stderr
    data = path.read_bytes()
    info = bytes.fromhex("1549a966")
    at = data.index(info) + 4
    width = 9 - data[at].bit_length()
    size = int.from_bytes(data[at : at + width]) & ((1 << 7 * width) - 1)
    content = data[at + width : at + width + size]
    content += element(bytes.fromhex("3eb923"), bytes(range(16)))  # NextUID
    content += element(bytes.fromhex("3e83bb"), target.encode())  # NextFilename
    path.write_bytes(data[: at - 4] + element(info, content) + data[at + width + size :])


def write_linked_cover(path: Path, target: str) -> None:
    """An MP3 file whose cover is a link (ID3v2.3, section 4.15: the type ``-->``)."""
    made = run_ffmpeg("-f", "lavfi", "-i", "sine=d=1", "-id3v2_version", "0", "-f", "mp3", path)
    assert made.returncode == 0, made.stderr
    frame = b"\0-->\0\x03\0" + target.encode()
    frames = b"APIC" + struct.pack(">IH", len(frame), 0) + frame
    size = bytes(len(frames) >> shift & 127 for shift in (21, 14, 7, 0))
    path.write_bytes(b"ID3\x03\0\0" + size + frames + path.read_bytes())


def write_scripted_asf(path: Path, target: str) -> None:
    """A WMV file with a command to open an address (ASF, section 3.6), which players obeyed."""
    blue = ("-f", "lavfi", "-i", "color=blue:s=160x120:d=1:r=25", "-c:v", "wmv2")
    made = run_ffmpeg(*blue, "-f", "asf", path)
    assert made.returncode == 0, made.stderr
    kind, address = "URL".encode("utf-16-le"), target.encode("utf-16-le")
    commands = bytes(16) + struct.pack("<HH", 1, 1) + struct.pack("<H", len(kind) // 2) + kind
    commands += struct.pack("<IHH", 0, 0, len(address) // 2) + address
    script = bytes.fromhex("301afb1e620bd011a39b00a0c90348f6")
    script += struct.pack("<Q", len(commands) + 24) + commands
    data = bytearray(path.read_bytes())
    size, count = struct.unpack("<QI", data[16:28])
    data[16:28] = struct.pack("<QI", size + len(script), count + 1)
    path.write_bytes(data[:30] + script + data[30:])


def attacks(secrets: Path) -> dict[str, Attack]:
    """All attacks, by name."""
    anywhere = ("-protocol_whitelist", "file,http,tcp,crypto,data,subfile")
    hls = (*anywhere, "-f", "hls", "-allowed_extensions", "ALL", "-extension_picky", "0")
    movie = functools.partial(write_movie, source=secrets / "secret.mov")
    dref = ("-enable_drefs", "1", "-use_absolute_path", "1")
    return {
        "concat": Attack(write_concat, "secret.mp4", (*anywhere, "-safe", "0"), suffix=".ffconcat"),
        "subfile": Attack(write_subfile, "secret.mp4", (*anywhere, "-safe", "0"), web=False),
        "hls": Attack(text(HLS), "secret.ts", hls, suffix=".m3u8"),
        "hls map": Attack(text(HLS_MAP), "secret.mp4", hls, suffix=".m3u8"),
        "hls key": Attack(text(HLS_KEY), "secret.ts", hls, suffix=".m3u8"),
        "dash": Attack(text(DASH), "secret.mp4", anywhere, suffix=".mpd"),
        "imf": Attack(write_imf, "secret.mxf", anywhere, suffix=".xml"),
        "vobsub": Attack(text(VOBSUB), "secret.sub", (), suffix=".idx", web=False),
        "svg": Attack(text(SVG), "secret.png", None, suffix=".svg"),
        "asx": Attack(text(ASX), "secret.mp4", None, suffix=".asx"),
        "sdp": Attack(text(SDP), "secret.mp4", None, suffix=".sdp"),
        "alias": Attack(
            functools.partial(movie, kind=b"alis"), "secret.mov", dref, suffix=".mov", web=False
        ),
        "url": Attack(functools.partial(movie, kind=b"url "), "secret.mov", None, suffix=".mov"),
        "half alias": Attack(
            functools.partial(movie, kind=b"alis", own=True),
            "secret.mov",
            dref,
            rows=25,
            suffix=".mov",
            web=False,
        ),
        "avi subtitle": Attack(write_gab2, "secret.ts", None, rows=25, suffix=".avi"),
        "linked mkv": Attack(write_linked_mkv, "secret.mkv", None, rows=25, suffix=".mkv"),
        "linked cover": Attack(write_linked_cover, "secret.png", None, rows=0, suffix=".mp3"),
        "scripted wmv": Attack(write_scripted_asf, "secret.mp4", None, rows=25, suffix=".wmv"),
    }


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """A web server of a folder on the loopback; gives its address and who has connected."""
    connections: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def setup(self) -> None:
            connections.append(str(self.client_address))
            super().setup()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    handler = functools.partial(Handler, directory=os.fspath(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", connections
        server.shutdown()


@contextlib.contextmanager
def watching(*folders: Path) -> Iterator[Callable[[], set[str]]]:
    """Watch folders with inotify(7); gives a function: names opened there since it was called."""
    in_open = 0x20
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_NONBLOCK)
    assert watch >= 0
    for folder in folders:
        assert libc.inotify_add_watch(watch, os.fsencode(folder), in_open) >= 0

    def opened() -> set[str]:
        names: set[str] = set()
        while True:
            try:
                events = os.read(watch, 1 << 16)
            except BlockingIOError:
                return names
            at = 0
            while at < len(events):
                length = struct.unpack("iIII", events[at : at + 16])[3]
                names.add(os.fsdecode(events[at + 16 : at + 16 + length].rstrip(b"\0")))
                at += 16 + length

    try:
        yield opened
    finally:
        os.close(watch)
