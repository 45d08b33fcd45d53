import pytest
from toy_features import ToySource, make_toy

from grjca.errors import GrjcaError, UsageError
from grjca.fusion.recipe import choose_embedders, common_recipe


def source() -> ToySource:
    return make_toy(2, 1).source


def test_the_only_embedders_are_chosen() -> None:
    toy = source()
    assert choose_embedders(toy, toy.clips(), None, None) == ("fer", "logmel")
    assert choose_embedders(toy, toy.clips(), "fer", "logmel") == ("fer", "logmel")


def test_a_clip_without_sound_does_not_hinder_the_choice() -> None:
    toy = source()
    toy.names["lab/c00.mp4"] = {"visual": ["fer"], "audio": []}
    assert choose_embedders(toy, toy.clips(), None, None) == ("fer", "logmel")
    for clip in toy.clips():
        toy.names[clip] = {"visual": ["fer"], "audio": []}
    assert choose_embedders(toy, toy.clips(), None, None) == ("fer", None)


def test_several_embedders_leave_the_choice_to_the_user() -> None:
    toy = source()
    for clip in toy.clips():
        toy.names[clip] = {"visual": ["fer", "hog"], "audio": ["logmel"]}
    with pytest.raises(UsageError, match=r"--visual: features: the clips have several .*fer, hog"):
        choose_embedders(toy, toy.clips(), None, None)
    assert choose_embedders(toy, toy.clips(), "hog", None) == ("hog", "logmel")
    toy.names["lab/c00.mp4"]["visual"] = ["hog"]
    assert choose_embedders(toy, toy.clips(), None, None) == ("hog", "logmel")
    with pytest.raises(UsageError, match=r"lab/c00\.mp4: features: no visual .* fer"):
        choose_embedders(toy, toy.clips(), "fer", None)


def test_an_embedder_that_no_clip_has() -> None:
    toy = source()
    with pytest.raises(UsageError, match=r"no audio features called vggish .*: logmel"):
        choose_embedders(toy, toy.clips(), None, "vggish")


def test_two_recipes_name_both_clips_and_what_differs() -> None:
    toy = source()
    toy.recipes["lab/c01.mp4"] = {"detector": {"name": "retinaface", "size": 320}}
    with pytest.raises(GrjcaError) as caught:
        common_recipe(toy, toy.clips(), "fer", "logmel")
    message = str(caught.value)
    assert message.startswith("lab/c01.mp4: features: extracted otherwise than lab/c00.mp4: ")
    assert "detector.size: None, 320" in message


def test_a_silent_clip_says_nothing_about_sound() -> None:
    toy = source()
    toy.names["lab/c00.mp4"] = {"visual": ["fer"], "audio": []}
    assert common_recipe(toy, toy.clips(), "fer", "logmel") == {
        "detector": {"name": "retinaface"},
        "visual": {"name": "fer", "config": {"views": 9}},
        "audio": {"name": "logmel"},
    }
