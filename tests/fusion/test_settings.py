"""Settings from YAML: complete, given back, and refused with the line."""

import contextlib
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from grjca.errors import UsageError
from grjca.fusion.config import FusionConfig
from grjca.fusion.data_config import DataConfig
from grjca.fusion.presets import PRESETS
from grjca.fusion.settings import DECIDED, Given, read_settings, resolve, to_yaml
from grjca.fusion.train_config import TrainConfig
from grjca.fusion.typed_values import typed


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return path


def test_nothing_given_is_the_defaults() -> None:
    settings = resolve(Given())
    assert settings.train == TrainConfig()
    assert settings.data == DataConfig()
    assert FusionConfig(1, 1, **{**settings.model, "outputs": ("valence",)}) == FusionConfig(
        1, 1, outputs=("valence",)
    )
    assert settings.model["outputs"] is None


def test_all_settings_are_shown() -> None:
    document = resolve(Given()).document()
    assert list(document) == ["model", "train", "data"]
    assert {*document["model"], *DECIDED} == {field.name for field in fields(FusionConfig)}
    assert set(document["train"]) == {field.name for field in fields(TrainConfig)}
    assert set(document["data"]) == {field.name for field in fields(DataConfig)}


@pytest.mark.parametrize("name", PRESETS)
def test_what_is_shown_can_be_given_back(tmp_path: Path, name: str) -> None:
    preset = PRESETS[name]
    settings = resolve(Given(preset.model, preset.train, {"val": ["a.mp4", "b.mp4"]}))
    path = written(tmp_path, to_yaml(settings.document()))
    assert resolve(read_settings(path)) == settings
    # Over another preset as well, since it says everything.
    other = Given({"kernel": 9}, {"lr": 0.5}, {"folds": 3, "fold": 1})
    assert resolve(read_settings(path).over(other)) == settings


def test_values_go_over_those_of_the_base() -> None:
    base = Given({"fusion": "rjca", "kernel": 3}, {"lr": 0.1}, {"folds": 6, "fold": 2})
    settings = resolve(Given({"kernel": 7}, {}, {"val": 0.3}).over(base))
    assert (settings.model["fusion"], settings.model["kernel"]) == ("rjca", 7)
    assert settings.train.lr == 0.1
    assert (settings.data.val, settings.data.folds, settings.data.fold) == (0.3, None, None)
    settings = resolve(base.over(Given(data={"val": 0.3})))
    assert (settings.data.val, settings.data.fold) == (None, 2)
    assert resolve(Given(data={"fold": 3}).over(base)).data.fold == 3


def test_numbers_that_yaml_takes_for_text(tmp_path: Path) -> None:
    settings = resolve(read_settings(written(tmp_path, "train:\n  lr: 1e-3\n  weight_decay: 0\n")))
    assert settings.train.lr == 1e-3
    assert settings.train.weight_decay == 0


@pytest.mark.parametrize("text", ["", "# nothing\n", "model:\ntrain:\n", "run: {anything: 1}\n"])
def test_empty_files_and_sections(tmp_path: Path, text: str) -> None:
    assert resolve(read_settings(written(tmp_path, text))) == resolve(Given())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model:\n  fuson: grjca\n", r"line 2: config: model\.fuson: no such setting\. .*fusion\?"),
        (
            "train:\n  lr: 1\n  depth: 3\n",
            r"line 3: .*train\.depth: no such setting\. There are: e",
        ),
        ("trian:\n  lr: 1\n", r"line 1: .*trian: no such section\. Did you mean train\?"),
        ("train:\n  lr: fast\n", r"line 2: .*train\.lr must be a number, got 'fast'"),
        ("train:\n  epochs: 2.5\n", r"line 2: .*train\.epochs must be a whole number, got 2\.5"),
        ("train:\n  epochs: true\n", r"line 2: .*train\.epochs must be a whole number, got True"),
        ("train:\n  reload_best: 1\n", r"line 2: .*reload_best must be true or false, got 1"),
        ("train:\n  epochs: 0\n", r"line 2: .*train\.epochs must be at least 1, got 0"),
        ("train:\n  hop: 9\n  window: 5\n", r"line 2: .*train\.hop must not exceed"),
        ("train:\n  ccc_over: clip\n", r"line 2: .*ccc_over must be window or batch|batch or"),
        ("train:\n  modalities: [text]\n", r"train\.modalities"),
        ("train:\n  device: tpu\n", r"line 2: .*device must be auto"),
        ("model:\n  fusion: sum\n", r"line 2: .*model\.fusion must be one of"),
        ("model:\n  outputs: [dominance]\n", r"line 2: .*model\.outputs must be"),
        ("model:\n  visual_dim: 3\n", r"line 2: .*model\.visual_dim: no such setting"),
        ("model:\n  window: 3\n", r"line 2: .*model\.window: no such setting"),
        ("model:\n  visual_channels: 64\n", r"line 2: .*must be a list \(each a whole number\)"),
        ("data:\n  val: 1.5\n", r"line 2: .*data\.val must lie between"),
        ("data:\n  fold: 2\n", r"line 2: .*data\.fold goes together"),
        ("data:\n  folds: 3\n  fold: 4\n", r"line 3: .*data\.fold must lie between 1 and 3"),
        ("data:\n  folds: 1\n  fold: 1\n", r"line 2: .*data\.folds must be at least 2"),
        ("data:\n  val: 0.2\n  folds: 3\n  fold: 1\n", r"line 2: .*data\.val is what the fold"),
        ("data:\n  align: cut\n", r"line 2: .*align must be error or truncate, got 'cut'"),
        ("data:\n  label_delay: .nan\n", r"line 2: .*label_delay must be finite"),
        ("train:\n  lr: 1\n  lr: 2\n", r"line 3: .*lr for the second time"),
        ("train:\n  lr: 1\ntrain:\n  hop: 2\n", r"line 3: .*train for the second time"),
        ("train: 3\n", r"line 1: .*train must hold lines"),
        ("- train\n", r"line 1: .*the file must hold lines"),
        ("? [a, b]\n: 1\n", r"line 1: .*a name that is not a word"),
        ("train: {lr: 1\n", r"line 2: .*not YAML"),
        ("train:\n  lr: !!python/object/apply:os.getcwd []\n", r"line 2: .*not YAML"),
        ("train:\n  lr: \x07\n", r"not YAML|cannot read"),
    ],
)
def test_refused_with_the_line(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(UsageError, match=message) as caught:
        resolve(read_settings(path))
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read it"):
        read_settings(tmp_path / "none.yaml")
    (tmp_path / "latin").write_bytes(b"train: \xff\xfe")
    with pytest.raises(UsageError, match="cannot read it"):
        read_settings(tmp_path / "latin")
    (tmp_path / "null").write_bytes(b"train: \0")
    with pytest.raises(UsageError, match="cannot read it"):
        read_settings(tmp_path / "null")


def test_a_value_of_a_caller_has_no_line() -> None:
    with pytest.raises(UsageError, match=r"^settings: config: train\.lr must be positive"):
        resolve(Given(train={"lr": 0.0}))
    base = Given(train={"lr": 1.0}, places={("train", "lr"): "x.yaml, line 7"})
    with pytest.raises(UsageError, match=r"^settings: config: train\.lr must be positive"):
        resolve(Given(train={"lr": 0.0}).over(base))


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("any") / "config.yaml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    with contextlib.suppress(UsageError):
        resolve(read_settings(path))


CLASSES = (FusionConfig, TrainConfig, DataConfig)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5)
)


@given(
    st.sampled_from(["model", "train", "data"]),
    st.dictionaries(
        st.sampled_from([field.name for cls in CLASSES for field in fields(cls)]),
        st.one_of(SCALARS, st.lists(SCALARS, max_size=3)), max_size=3,
    ),
)  # fmt: skip
def test_any_values_are_taken_or_refused(section: str, values: dict[str, Any]) -> None:
    try:
        settings = resolve(Given(**{section: values}))
    except UsageError:
        return
    assert yaml.safe_load(to_yaml(settings.document())) == settings.document()


def test_kinds_of_values() -> None:
    assert typed([1, 2], tuple[int, ...]) == (1, 2)
    assert typed("1e3", float) == 1000.0
    assert typed(3, float) == 3
    assert typed(None, float | None) is None
    assert typed(["a"], float | tuple[str, ...] | None) == ("a",)
    for value, hint in ((True, int), (True, float), ("1", int), (1, bool), (1, str), ("x", float)):
        with pytest.raises(ValueError, match="must be"):
            typed(value, hint)
