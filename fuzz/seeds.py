"""Whole clips to damage: short ones, real and made, in every container that is common."""

from __future__ import annotations

import subprocess
from pathlib import Path

from grjca.pipeline.inputs import MEDIA_SUFFIXES
from grjca.stages.ffmpeg import find_ffmpeg

LARGEST = 200_000
"""Bytes up to which a real clip is taken as it is; of a larger one its first second is."""

_VIDEOS = MEDIA_SUFFIXES - {".aac", ".flac", ".m4a", ".mp3", ".oga", ".opus", ".wav", ".wma"}
_PICTURE = ("-f", "lavfi", "-i", "testsrc2=s=96x64:r=25:d=1")
_SOUND = ("-f", "lavfi", "-i", "sine=f=440:r=44100:d=1")
_MADE: dict[str, tuple[str, ...]] = {
    "h264-aac.mp4": ("-c:v", "libx264", "-c:a", "aac"),
    "fragments.mp4": ("-c:v", "libx264", "-g", "5", "-c:a", "aac", "-movflags", "frag_keyframe"),
    "hevc.mp4": ("-c:v", "libx265", "-x265-params", "log-level=none:pools=1", "-an"),
    "mpeg4-mp3.avi": ("-c:v", "mpeg4", "-c:a", "libmp3lame"),
    "mjpeg-pcm.mov": ("-c:v", "mjpeg", "-c:a", "pcm_s16be"),
    "mpeg2-mp2.ts": ("-c:v", "mpeg2video", "-c:a", "mp2"),
    "mpeg1-mp2.mpg": ("-c:v", "mpeg1video", "-c:a", "mp2"),
    "ffv1-flac.mkv": ("-c:v", "ffv1", "-c:a", "flac"),
    "vp8-vorbis.webm": ("-c:v", "libvpx", "-c:a", "libvorbis"),
    "vp9-opus.webm": ("-c:v", "libvpx-vp9", "-cpu-used", "8", "-c:a", "libopus"),
    "wmv2-wma.wmv": ("-c:v", "wmv2", "-c:a", "wmav2"),
    "flv-mp3.flv": ("-c:v", "flv", "-c:a", "libmp3lame"),
    "theora.ogv": ("-c:v", "libtheora", "-c:a", "libvorbis"),
    "mpeg2-pcm.mxf": ("-c:v", "mpeg2video", "-c:a", "pcm_s16le", "-ar", "48000"),
    "pcm.wav": ("-vn", "-c:a", "pcm_s16le"),
    "float.wav": ("-vn", "-c:a", "pcm_f32le"),
    "flac.flac": ("-vn", "-c:a", "flac"),
    "mp3.mp3": ("-vn", "-c:a", "libmp3lame"),
    "aac.m4a": ("-vn", "-c:a", "aac"),
    "opus.ogg": ("-vn", "-c:a", "libopus"),
}


def made_clips(folder: Path) -> list[Path]:
    """A second of test picture and tone in many containers; less where an encoder is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    clips = []
    for name, options in _MADE.items():
        path = folder / name
        if _ffmpeg(*_PICTURE, *_SOUND, *options, path):
            clips.append(path)
    return clips


def real_clips(media: Path, folder: Path) -> list[Path]:
    """The videos of a folder of media, cut down to their first second where they are large."""
    folder.mkdir(parents=True, exist_ok=True)
    clips = []
    for source in sorted(path for path in media.rglob("*") if path.suffix.lower() in _VIDEOS):
        path = folder / source.name
        if source.stat().st_size <= LARGEST:
            path.write_bytes(source.read_bytes())
        elif not _ffmpeg("-i", source, "-map", "0", "-c", "copy", "-t", "1", path):
            continue
        clips.append(path)
    return clips


def _ffmpeg(*arguments: str | Path) -> bool:
    command = [str(find_ffmpeg()), "-nostdin", "-v", "quiet", "-y", "-fflags", "+bitexact"]
    exact = ["-threads", "1", "-flags", "+bitexact"]
    words = [*map(str, arguments)]
    done = subprocess.run([*command, *words[:-1], *exact, words[-1]], check=False, timeout=120)
    path = Path(words[-1])
    if done.returncode != 0 or not path.stat().st_size:
        path.unlink(missing_ok=True)
        return False
    return True
