"""A clip's sound at 16 kHz, mono, on the clip's own clock, in blocks.

ffmpeg decodes at the stream's own rate and mixes to mono; each decoded piece's time and length
come on a side pipe from the same process, so that late starts and gaps are kept. The rate is
changed by torchaudio's windowed-sinc resampler, fed in pieces.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from grjca.stages.decoder import Decoder
from grjca.stages.ffmpeg import check_source, compile_command, open_input
from grjca.stages.process import DecoderProcess, LinePipe, describe_exit
from grjca.stages.resample import Piece, StreamResampler, decoding_rate
from grjca.stages.types import AUDIO_RATE, AudioSegment, MediaInfo

JITTER = 0.05
"""Seconds by which time stamps may differ from the running count of samples without a gap."""

LONGEST_SILENCE = 86_400.0
"""Seconds of gaps filled in one clip; beyond, time stamps are taken for broken."""

_RESTART = 1.0
_COUNT = "lavfi.astats.Overall.Number_of_samples"


class SoundClock:
    """Places decoded pieces, one behind the other, on the clip's clock.

    The first piece lies exactly where its time says; later ones follow each other unless their
    time differs by more than JITTER. A clock that jumps back by a second or more has been
    restarted and goes on from where it was, as for pictures.

    Attributes:
        position: Index of the next sample, at the stream's own rate.
        broken: Number of forward jumps that were not believed.
    """

    def __init__(self, rate: int) -> None:
        self.position = 0
        self.broken = 0
        self._rate = rate
        self._offset = 0
        self._filled = 0
        self._tolerance = 0.0

    def place(self, microseconds: int | None, count: int) -> tuple[int, int]:
        """Take in a piece of ``count`` samples.

        Returns:
            The number of missing samples before it, and the number to drop from its beginning
            because their place (or time before 0) is taken.
        """
        jump = 0
        if microseconds is not None:
            stamp = round(microseconds * self._rate / 1e6) + self._offset
            jump = stamp - self.position
        if jump < 0 and self.position and jump <= -_RESTART * self._rate:
            self._offset -= jump
            jump = 0
        if jump + self._filled > LONGEST_SILENCE * self._rate:
            self._offset -= jump
            self.broken += 1
            jump = 0
        if abs(jump) <= self._tolerance:
            jump = 0
        gap, drop = max(jump, 0), min(max(-jump, 0), count)
        self._filled += gap
        self.position += gap + count - drop
        if self.position:
            self._tolerance = JITTER * self._rate
        return gap, drop


class AudioDecoder(Decoder[AudioSegment]):
    """The sound of a clip at 16 kHz, mono, float32 in [-1, 1], from sample 0 of its clock.

    Blocks follow each other without a hole. Where the stream holds nothing (a late start, a gap,
    samples that are not numbers) ``present`` is false and the sample 0; sound before 0 is
    dropped. A clip without a sound stream gives no block; neither does a stream of which nothing
    decodes, with a warning.

    Use it as a context manager; leaving it, or the loop, ends the process.

    Attributes:
        warnings: After the last block: what the decoder complained of, each kind once.
    """

    def __init__(
        self,
        path: Path,
        info: MediaInfo,
        *,
        block: float = 10.0,
        time_limit: float | None = None,
    ) -> None:
        """Prepare to decode; nothing is started before the first block is asked for.

        Args:
            path: The file.
            info: What ``probe`` said of it.
            block: Seconds per block; the last is shorter.
            time_limit: Seconds to wait for the decoder in all, the caller's own work between two
                blocks not counted; ``process.STALL_LIMIT`` bounds a single wait in any case.

        Raises:
            ValueError: ``block`` is shorter than one sample.
        """
        self._block = round(block * AUDIO_RATE)
        if self._block < 1:
            raise ValueError(f"a block of {block} s holds no sample")
        super().__init__()
        self._path, self._info, self._time_limit = path, info, time_limit

    def _command(self, index: int, rate: int, pieces: LinePipe) -> list[str]:
        import ffmpeg

        sound = open_input(threads=1)[str(index)]
        # Without a bound on the mixing matrix, equal channels add up to 3 dB too much in float.
        sound = (
            sound.filter("aresample", rematrix_maxval=1)
            .filter("aformat", sample_fmts="flt", sample_rates=rate, channel_layouts="mono")
            .filter("asettb", "1/1000000")
            .filter(
                "astats",
                metadata=1,
                reset=1,
                measure_perchannel="none",
                measure_overall="Number_of_samples",
            )
            .filter("ametadata", mode="print", key=_COUNT, file=f"pipe:{pieces.fd}", direct=1)
        )
        output = ffmpeg.output(sound, "pipe:1", format="f32le", acodec="pcm_f32le")
        return compile_command(output, self._path, self._info.duration)

    def _decode(self) -> Generator[AudioSegment]:
        stream = self._info.audio
        if stream is None:
            return
        check_source(self._path, "audio")
        rate = decoding_rate(stream.rate)
        clock = SoundClock(rate)
        with (
            closing(LinePipe()) as pieces,
            DecoderProcess(
                self._command(stream.index, rate, pieces),
                stage="audio",
                source=self._path,
                lines=pieces,
                time_limit=self._time_limit,
            ) as process,
        ):
            yield from self._blocks(self._resampled(process, pieces, clock, rate))
            status = process.finish()
            self.warnings = (*process.words.distinct(), *_remarks(clock, status))

    def _resampled(
        self, process: DecoderProcess, pieces: LinePipe, clock: SoundClock, rate: int
    ) -> Iterator[Piece]:
        resampler = StreamResampler(rate)
        waiting: list[Piece] = []
        count = 0
        for samples, present in _placed(process, pieces, clock, rate):
            waiting.append((samples, present))
            count += len(samples)
            # One run of the filter per second of sound, not per piece of a few milliseconds.
            if count >= rate:
                yield resampler.push(*_joined(waiting))
                waiting, count = [], 0
        yield resampler.push(*_joined(waiting))
        yield resampler.finish()

    def _blocks(self, pieces: Iterator[Piece]) -> Iterator[AudioSegment]:
        waiting: list[Piece] = []
        start = count = 0
        for piece in pieces:
            waiting.append(piece)
            count += len(piece[0])
            while count >= self._block:
                samples, present = _joined(waiting)
                here, rest = slice(self._block), slice(self._block, None)
                yield AudioSegment(samples[here], present[here], start)
                start += self._block
                count -= self._block
                waiting = [(samples[rest], present[rest])]
        if count:
            yield AudioSegment(*_joined(waiting), start)


def _placed(
    process: DecoderProcess, pieces: LinePipe, clock: SoundClock, rate: int
) -> Iterator[Piece]:
    while (line := pieces.get()) is not None:
        stamp = re.match(r"frame:\d+ +pts:(\S+)", line)
        length = re.match(re.escape(_COUNT) + r"=(\d+)", pieces.get() or "")
        if not stamp or not length:
            return
        whole = re.fullmatch(r"-?\d+", stamp[1])
        data = process.stdout.read(int(length[1]) * 4)
        samples = np.frombuffer(data, "<f4", count=len(data) // 4).astype(np.float32)
        present = np.isfinite(samples)
        samples[~present] = 0
        gap, drop = clock.place(int(whole[0]) if whole else None, len(samples))
        while gap > 0:
            silence = min(gap, rate)
            yield np.zeros(silence, np.float32), np.zeros(silence, np.bool_)
            gap -= silence
        yield samples[drop:], present[drop:]


def _joined(pieces: list[Piece]) -> Piece:
    if not pieces:
        return np.zeros(0, np.float32), np.zeros(0, np.bool_)
    return np.concatenate([p[0] for p in pieces]), np.concatenate([p[1] for p in pieces])


def _remarks(clock: SoundClock, status: int) -> Iterator[str]:
    if clock.position == 0:
        yield "no sound decodes"
    if clock.broken:
        yield f"{clock.broken} jumps of the sound's clock were not believed"
    if status != 0:
        yield f"the decoder ended early ({describe_exit(status)})"
