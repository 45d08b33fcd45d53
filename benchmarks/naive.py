"""The same features by a straightforward script: one frame after the other, nothing overlapped.

What somebody writes who has the models and a loop: OpenCV decodes, the detector sees one frame,
the embedder one crop, the sound is decoded whole and embedded window by window. The libraries keep
the number of threads that they choose themselves.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
from numpy.typing import NDArray

from grjca.stages.acoustic import SpeechLogMel
from grjca.stages.faces import align
from grjca.stages.fer import Fer
from grjca.stages.ffmpeg import find_ffmpeg
from grjca.stages.retinaface import RetinaFace, RetinaFaceConfig
from grjca.stages.types import AUDIO_RATE, AudioSegment


class Naive:
    """The default models, loaded, and a loop around them.

    Args:
        threads: Of the detector; onnxruntime's own choice would be one per core.
    """

    def __init__(self, threads: int) -> None:
        self._detector = RetinaFace(RetinaFaceConfig(threads=threads))
        self._visual = Fer()
        self._audio = SpeechLogMel()

    def extract(self, clip: Path, out: Path) -> int:
        """Extract a clip into an HDF5 file; the greatest face of each frame counts.

        Args:
            clip: A video with at most one face.
            out: File to write, with ``time``, ``box``, ``valid``, ``visual`` and ``audio``.

        Returns:
            Number of rows.
        """
        rows: dict[str, list[Any]] = {"time": [], "box": [], "valid": [], "visual": []}
        capture = cv2.VideoCapture(str(clip))
        while True:
            read, picture = capture.read()
            if not read:
                break
            time = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            frame = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
            box, features = self._face(frame)
            rows["time"].append(time)
            rows["box"].append(box)
            rows["valid"].append(bool(np.isfinite(box).all()))
            rows["visual"].append(features)
        capture.release()
        sound = self._sound(clip)
        audio = [self._hear(sound, time) for time in rows["time"]]
        with h5py.File(out, "w") as file:
            for name, values in {**rows, "audio": audio}.items():
                file[name] = np.array(values)
        return len(audio)

    def _face(self, frame: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        (found,) = self._detector.detect(frame[None])
        if not len(found):
            return np.full(4, np.nan, np.float32), np.full(self._visual.dim, np.nan, np.float32)
        best = int(np.argmax(np.prod(found.box[:, 2:] - found.box[:, :2], axis=1)))
        crop = align(frame, found.landmarks[best], self._visual.template, self._visual.crop_size)
        return found.box[best], self._visual.embed(crop[None])[0]

    def _hear(self, sound: NDArray[np.float32], time: float) -> NDArray[np.float32]:
        before, after = self._audio.context
        begin = int(np.floor((time - before) * AUDIO_RATE))
        end = int(np.ceil((time + after) * AUDIO_RATE))
        around = np.zeros(end - begin, np.float32)
        low, high = max(begin, 0), min(end, len(sound))
        if high > low:
            around[low - begin : high - begin] = sound[low:high]
        segment = AudioSegment(around, np.ones(len(around), bool), begin)
        row: NDArray[np.float32] = self._audio.embed(segment, np.array([time]))[0]
        return row

    def _sound(self, clip: Path) -> NDArray[np.float32]:
        command = [str(find_ffmpeg()), "-v", "error", "-i", f"file:{clip}", "-vn", "-ac", "1"]
        command += ["-ar", str(AUDIO_RATE), "-f", "f32le", "-"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True)
        return np.frombuffer(done.stdout, np.float32)
