"""A clip's sound at 16 kHz, mono, on the clip's own clock, in blocks.

ffmpeg decodes at the stream's own rate and mixes to mono; each decoded piece's time and length
come on a side pipe from the same process, so that late starts and gaps are kept. The rate is
changed by torchaudio's windowed-sinc resampler, fed in pieces. A part of a file is resampled on
the grid of the whole, so that its samples are those of the whole.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from grjca.stages.decoder import Decoder, Part
from grjca.stages.ffmpeg import beside, check_source, compile_command, open_input
from grjca.stages.process import DecoderProcess, LinePipe, describe_exit
from grjca.stages.resample import Piece, StreamResampler, decoding_rate
from grjca.stages.types import AUDIO_RATE, AudioSegment, MediaInfo

JITTER = 0.05
"""Seconds by which time stamps may differ from the running count of samples without a gap."""

LONGEST_SILENCE = 86_400.0
"""Seconds of gaps filled in one file; beyond, time stamps are taken for broken."""

LONGEST_SILENCE_ALONE = 3_600.0
"""The same for a file without pictures, whose rows would otherwise be made of time stamps alone."""

SEEKABLE = frozenset({"mov", "wav", "w64"})
"""Containers in which a part is looked up, and not reached by decoding all that lies before it.

Their times are exact to the sample. Matroska's milliseconds would move a part by up to one against
the whole, AVI counts sound in packets that need not all hold as much, and the others have no index
or no times.
"""

_LEAD = 0.25
_RESTART = 1.0
_COUNT = "lavfi.astats.Overall.Number_of_samples"


class SoundClock:
    """Places decoded pieces, one behind the other, on the clip's clock.

    The first piece lies exactly where its time says; later ones follow each other unless their
    time differs by more than JITTER. A clock that jumps back by a second or more has been
    restarted and goes on from where it was, as for pictures.

    Attributes:
        position: Index of the next sample, at the stream's own rate, from ``origin`` on.
        begin: Index at which the first piece says that it lies; None before it has come.
        broken: Number of forward jumps that were not believed.
        ended: Whether there are no further pieces.
    """

    def __init__(self, rate: int, origin: int = 0, longest: float = LONGEST_SILENCE) -> None:
        """Start a clock.

        Args:
            rate: Samples per second.
            origin: The clip's sample, at ``rate``, that is counted as 0.
            longest: Seconds of gaps that are believed.
        """
        self.position = 0
        self.begin: int | None = None
        self.broken = 0
        self.ended = False
        self._rate = rate
        self._longest = longest * rate
        self._offset = -origin
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
        if self.begin is None:
            self.begin = jump
        if jump < 0 and self.position and jump <= -_RESTART * self._rate:
            self._offset -= jump
            jump = 0
        if jump + self._filled > self._longest:
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

    Of a part of the file sample 0 lies at ``start``, and nothing at or behind ``end`` is given.

    Use it as a context manager; leaving it, or the loop, ends the process.

    Attributes:
        warnings: After the last block: what the decoder complained of, each kind once.
    """

    def __init__(
        self,
        path: Path,
        info: MediaInfo,
        *,
        start: float = 0.0,
        end: float | None = None,
        block: float = 10.0,
        time_limit: float | None = None,
    ) -> None:
        """Prepare to decode; nothing is started before the first block is asked for.

        Args:
            path: The file.
            info: What ``probe`` said of it.
            start: Seconds on the file's clock at which the clip begins. Negative: the clip begins
                before the file, as with a recorder that was started late.
            end: Seconds at which it ends; None for the file's end.
            block: Seconds per block; the last is shorter.
            time_limit: Seconds to wait for the decoder in all, the caller's own work between two
                blocks not counted; ``process.STALL_LIMIT`` bounds a single wait in any case.

        Raises:
            ValueError: ``block`` is shorter than one sample, ``start`` and ``end`` bound no part
                of a file, or the clip begins more than LONGEST_SILENCE before the file.
        """
        self._block = round(block * AUDIO_RATE)
        if self._block < 1:
            raise ValueError(f"a block of {block} s holds no sample")
        self._part = Part(start, end)
        if start < -LONGEST_SILENCE:
            raise ValueError(f"a clip from {start} s begins too long before its sound")
        super().__init__()
        self._path, self._info, self._time_limit = path, info, time_limit
        self._heard = False

    def _command(self, index: int, rate: int, pieces: LinePipe, seek: float | None) -> list[str]:
        import ffmpeg

        sound = open_input(seek=seek, threads=1)[str(index)]
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
        picture = self._info.video
        along = beside(self._info.container, picture.index if picture else None)
        return compile_command(output, self._path, self._info.duration, along)

    def _decode(self) -> Generator[AudioSegment]:
        stream = self._info.audio
        if stream is None:
            return
        check_source(self._path, "audio")
        rate = decoding_rate(stream.rate)
        # Whole periods of the resampler that lie before the part, with room for its filter.
        period = rate // math.gcd(rate, AUDIO_RATE)
        origin = math.floor(max(self._part.start - _LEAD, 0.0) * rate) // period * period
        # A rate that ffmpeg has to change would come out at another fraction of a sample.
        seekable = SEEKABLE if rate == stream.rate else ()
        for seek in self._part.seeks(self._info.container, seekable):
            clock = SoundClock(
                rate,
                0 if seek is None else origin,
                LONGEST_SILENCE_ALONE if self._info.video is None else LONGEST_SILENCE,
            )
            with (
                closing(LinePipe()) as pieces,
                self._within_reach(
                    DecoderProcess(
                        self._command(stream.index, rate, pieces, seek),
                        stage="audio",
                        source=self._path,
                        lines=pieces,
                        time_limit=self._time_limit,
                    )
                ) as process,
            ):
                placed = _placed(process, pieces, clock, rate)
                first = list(itertools.islice(placed, 1))
                if seek is not None and (clock.begin is None or clock.begin > 0):
                    continue
                sound = _without(0 if seek is not None else origin, itertools.chain(first, placed))
                own = self._own(_resampled(sound, rate), origin * AUDIO_RATE // rate)
                yield from self._blocks(own)
                status = process.finish() if clock.ended else 0
                self.warnings = (*process.words.distinct(), *self._remarks(clock, status))
                return

    def _own(self, sound: Iterator[Piece], begin: int) -> Iterator[Piece]:
        """The part's pieces, out of all that is heard from sample ``begin`` of the file on."""
        first = round(self._part.start * AUDIO_RATE)
        left = math.inf if self._part.end is None else round(self._part.end * AUDIO_RATE) - first
        before = _silence(max(-first, 0), AUDIO_RATE)
        self._heard = False
        for samples, present in itertools.chain(before, _without(max(first - begin, 0), sound)):
            count = int(min(len(samples), left))
            self._heard = self._heard or bool(present[:count].any())
            yield samples[:count], present[:count]
            left -= count
            if left == 0:
                return

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

    def _remarks(self, clock: SoundClock, status: int) -> Iterator[str]:
        if clock.position == 0 and self._part.whole:
            yield "no sound decodes"
        elif not self._heard and not self._part.whole:
            yield f"no sound lies in {self._part}"
        if clock.broken:
            yield f"{clock.broken} jumps of the sound's clock were not believed"
        if status != 0:
            yield f"the decoder ended early ({describe_exit(status)})"


def _placed(
    process: DecoderProcess, pieces: LinePipe, clock: SoundClock, rate: int
) -> Iterator[Piece]:
    while (line := pieces.get()) is not None:
        stamp = re.match(r"frame:\d+ +pts:(\S+)", line)
        length = re.match(re.escape(_COUNT) + r"=(\d+)", pieces.get() or "")
        if not stamp or not length:
            break
        whole = re.fullmatch(r"-?\d+", stamp[1])
        data = process.stdout.read(int(length[1]) * 4)
        samples = np.frombuffer(data, "<f4", count=len(data) // 4).astype(np.float32)
        present = np.isfinite(samples)
        samples[~present] = 0
        gap, drop = clock.place(int(whole[0]) if whole else None, len(samples))
        yield from _silence(gap, rate)
        yield samples[drop:], present[drop:]
    clock.ended = True


def _silence(count: int, most: int) -> Iterator[Piece]:
    while count > 0:
        length = min(count, most)
        yield np.zeros(length, np.float32), np.zeros(length, np.bool_)
        count -= length


def _without(count: int, pieces: Iterator[Piece]) -> Iterator[Piece]:
    for samples, present in pieces:
        skipped = min(count, len(samples))
        count -= skipped
        yield samples[skipped:], present[skipped:]


def _resampled(pieces: Iterator[Piece], rate: int) -> Iterator[Piece]:
    resampler = StreamResampler(rate)
    waiting: list[Piece] = []
    count = 0
    for samples, present in pieces:
        waiting.append((samples, present))
        count += len(samples)
        # One run of the filter per second of sound, not per piece of a few milliseconds.
        if count >= rate:
            yield resampler.push(*_joined(waiting))
            waiting, count = [], 0
    yield resampler.push(*_joined(waiting))
    yield resampler.finish()


def _joined(pieces: list[Piece]) -> Piece:
    if not pieces:
        return np.zeros(0, np.float32), np.zeros(0, np.bool_)
    return np.concatenate([p[0] for p in pieces]), np.concatenate([p[1] for p in pieces])
