from __future__ import annotations

import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray

from grjca.stages.aligned import Aligned
from grjca.stages.catalog import identity
from grjca.stages.faces import align
from grjca.stages.retinaface import RetinaFace


@pytest.fixture(scope="module")
def crop() -> NDArray[np.uint8]:
    """A real face, aligned as Aff-Wild2's pictures are."""
    picture = np.asarray(skimage.data.astronaut(), dtype=np.uint8)
    (found,) = RetinaFace().detect(picture[None])
    return align(picture, found.landmarks[0], "arcface112", 112)


def test_a_crop_of_its_own_size_comes_out_as_it_went_in(crop: NDArray[np.uint8]) -> None:
    (found,) = Aligned().detect(crop[None])
    assert found.box.tolist() == [[0, 0, 112, 112]]
    assert found.score.tolist() == [1]
    np.testing.assert_array_equal(align(crop, found.landmarks[0], "arcface112", 112), crop)


def test_the_landmarks_are_where_a_detector_sees_them(crop: NDArray[np.uint8]) -> None:
    (ours,) = Aligned().detect(crop[None])
    wide = np.pad(crop, ((60, 60), (60, 60), (0, 0)), mode="edge")
    (seen,) = RetinaFace().detect(wide[None])
    assert np.abs(seen.landmarks[0] - 60 - ours.landmarks[0]).max() < 8


def test_every_frame_is_a_face_whatever_its_size() -> None:
    frames = np.zeros((3, 60, 90, 3), dtype=np.uint8)
    found = Aligned().detect(frames)
    assert len(found) == 3
    for one in found:
        assert one.box.tolist() == [[0, 0, 90, 60]]
        left_eye = one.landmarks[0, 1]
        np.testing.assert_allclose(left_eye, (73.5318 / 112 * 90, 51.5014 / 112 * 60), rtol=1e-5)
    assert Aligned().detect(frames[:0]) == []
    with pytest.raises(ValueError, match="frames"):
        Aligned().detect(frames.astype(np.float32))


def test_it_has_no_weights_and_nothing_to_choose() -> None:
    assert identity(Aligned()) == {"name": "aligned", "config": {}, "weights": None}
