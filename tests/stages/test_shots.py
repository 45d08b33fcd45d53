from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from grjca.stages.probe import probe
from grjca.stages.shots import ShotDetector, layout
from grjca.stages.types import FrameBatch
from grjca.stages.video import VideoDecoder

HAMILTON_CUTS = (20, 82, 211)
"""Read off a contact sheet: stage from afar, a listener's head, the singer, the audience."""


def picture(seed: int, size: tuple[int, int] = (72, 128)) -> NDArray[np.uint8]:
    """A smooth random picture."""
    cells = np.random.default_rng(seed).integers(30, 226, (6, 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(cells, size[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)


def cuts_in(
    pictures: list[NDArray[np.uint8]],
    edges: tuple[int, ...] = (),
    present: list[bool] | None = None,
) -> list[int]:
    """Rows of the cuts, the pictures fed in batches that end at the edges."""
    frames, time = np.stack(pictures), np.arange(len(pictures)) / 25
    there = None if present is None else np.array(present)
    detector = ShotDetector()
    found = [
        detector.update(
            FrameBatch(frames[a:b], time[a:b], a, present=None if there is None else there[a:b])
        )
        for a, b in pairwise((0, *sorted(edges), len(pictures)))
    ]
    return np.flatnonzero(np.concatenate(found)).tolist()


def cuts_of(path: Path) -> list[int]:
    detector = ShotDetector()
    with VideoDecoder(path, probe(path)) as frames:
        return np.flatnonzero(np.concatenate([detector.update(batch) for batch in frames])).tolist()


def test_finds_the_cuts_of_a_real_clip(media: Path) -> None:
    assert cuts_of(media / "av/short_hamilton_clip.mp4") == list(HAMILTON_CUTS)


def test_a_black_frame_between_two_shots_is_one_cut(media: Path) -> None:
    # Frame 72 is black, and frame 73 the first of the cartoon.
    assert cuts_of(media / "av/pyfeat_face_noface.mov") == [73]


@pytest.mark.slow
@pytest.mark.parametrize(
    "clip",
    [
        "av/liveportrait_d12.mp4",
        "av/hdtf_AlexandriaOcasioCortez_000.mp4",
        "av/lrs_demo_0p9s.mp4",
        "av/pdfgc_test1_five_faces.mp4",
        "av/edtalk_pose_source2_60s.mp4",
        # Arms thrown before the lens; a phone swung round at 10 frames a second.
        "video_only/styletalk_furious_talk1_clip1.mp4",
        "hard/fire2_rotated_vfr_phone.mp4",
    ],
)
def test_no_cut_where_there_is_none(media: Path, clip: str) -> None:
    assert cuts_of(media / clip) == []


def test_a_cut_is_the_first_frame_of_the_new_shot() -> None:
    assert cuts_in([picture(0)] * 5 + [picture(1)] * 3 + [picture(2)] * 2) == [5, 8]
    assert cuts_in([picture(0)]) == []


def test_a_dark_picture_is_as_good_as_a_bright_one() -> None:
    dark = [(picture(seed) * 0.12).astype(np.uint8) for seed in (0, 1)]
    assert cuts_in([dark[0]] * 5 + [dark[1]] * 5) == [5]


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_flat_frame_is_no_cut(grey: int) -> None:
    flat = np.full_like(picture(0), grey)
    assert cuts_in([picture(0)] * 5 + [flat] + [picture(0)] * 5) == []
    assert cuts_in([flat, flat, *[picture(0)] * 5]) == []
    assert cuts_in([picture(0)] * 5 + [flat] * 3 + [picture(1)] * 5) == [8]


def test_a_photographers_flash_is_no_cut() -> None:
    lit = np.clip(picture(0) * 1.1 + 40.0, 0, 255).astype(np.uint8)
    assert cuts_in([picture(0)] * 5 + [lit] + [picture(0)] * 5) == []


def test_a_picture_that_keeps_moving_is_no_cut() -> None:
    wide = picture(3, (72, 900))
    assert cuts_in([wide[:, 8 * step : 8 * step + 128] for step in range(40)]) == []


def test_rows_without_a_picture_are_passed_over() -> None:
    pictures = [picture(seed) for seed in (0, 0, 5, 0, 1, 5, 1)]
    present = [True, True, False, True, True, False, True]
    assert cuts_in(pictures, present=present) == [4]
    assert cuts_in([picture(5), *pictures], present=[False, *present]) == [5]


@settings(max_examples=30, deadline=None)
@given(
    shots=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4)), min_size=1, max_size=8),
    noise=st.integers(0, 30),
    data=st.data(),
)
def test_batches_do_not_change_the_cuts(
    shots: list[tuple[int, int]], noise: int, data: st.DataObject
) -> None:
    rng = np.random.default_rng(0)
    pictures = [
        np.clip(picture(seed, (24, 32)) + rng.normal(0, noise, (24, 32, 3)), 0, 255).astype(
            np.uint8
        )
        for seed, length in shots
        for _ in range(length)
    ]
    edges = data.draw(st.lists(st.integers(0, len(pictures)), max_size=5))
    assert cuts_in(pictures, tuple(edges)) == cuts_in(pictures)


def test_layout_leaves_out_colour_and_contrast() -> None:
    z = layout(picture(0))
    assert z is not None
    np.testing.assert_allclose(z.mean(axis=(0, 1)), 0, atol=1e-12)
    assert np.abs(z).mean() == pytest.approx(1)
    half = layout((picture(0) // 2 + 40).astype(np.uint8))
    assert half is not None
    assert np.abs(z - half).mean() < 0.02
    assert layout(np.full((9, 9, 3), 7, np.uint8)) is None
