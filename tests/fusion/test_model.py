"""The whole model against the NumPy computation, and what must not change its output."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy_reference import reference, state_arrays
from safetensors.torch import load_file, save_file
from torch import Tensor

from grjca.fusion.config import FUSIONS, FusionConfig
from grjca.fusion.gates import fixed_gates
from grjca.fusion.loss import ccc_loss
from grjca.fusion.masked import MaskedBatchNorm1d, drop_modalities
from grjca.fusion.model import FusionModel

WINDOW = 14
LENGTHS = [14, 9, 2]


def config(**changes: Any) -> FusionConfig:
    small: dict[str, Any] = {
        "visual_dim": 6,
        "audio_dim": 4,
        "visual_channels": (7, 7, 5),
        "audio_channels": (4, 3),
        "kernel": 3,
        "window": WINDOW,
        "head_hidden": 8,
        "temporal_dropout": 0.0,
        "attention_dropout": 0.0,
    }
    return FusionConfig(**(small | changes))


def model(settings: FusionConfig, dtype: torch.dtype = torch.float64) -> FusionModel:
    """A model none of whose parameters and statistics has its neutral starting value.

    The running statistics are of the size of real activations, or nothing downstream of them
    would move.
    """
    torch.manual_seed(5)
    made = FusionModel(settings).double()
    with torch.no_grad():
        for name, value in made.state_dict().items():
            if name.endswith("input.std"):
                value.uniform_(0.5, 2.0)
            elif value.is_floating_point() and value.ndim == 1:
                value.add_(0.3 * torch.randn_like(value))
        norms = [m for m in made.modules() if isinstance(m, MaskedBatchNorm1d)]
        for norm in norms:
            norm.momentum = 0.9
        made.train()(*batch().args())
        for norm in norms:
            norm.momentum = 0.1
    return made.to(dtype)


@dataclasses.dataclass
class Batch:
    visual: Tensor
    audio: Tensor
    visual_valid: Tensor
    audio_valid: Tensor
    frames: Tensor

    def args(self) -> tuple[Tensor, ...]:
        return self.visual, self.audio, self.visual_valid, self.audio_valid, self.frames

    def map(self, change: Any) -> Batch:
        return Batch(*(change(x) for x in self.args()))


def batch(total: int = WINDOW, fill: float = float("nan"), dtype: Any = torch.float64) -> Batch:
    """Three clips; one has no sound at all, frames miss a modality here and there or both."""
    rng = np.random.default_rng(3)
    visual, audio = rng.normal(1, 2, (3, WINDOW, 6)), rng.normal(-1, 3, (3, WINDOW, 4))
    visual_valid, audio_valid = rng.random((3, WINDOW)) < 0.7, rng.random((3, WINDOW)) < 0.7
    audio_valid[1] = False
    frames = np.arange(WINDOW) < np.array(LENGTHS)[:, None]
    visual_valid[0, 3] = audio_valid[0, 3] = False
    more = ((0, 0), (0, total - WINDOW))
    visual_valid, audio_valid = np.pad(visual_valid, more), np.pad(audio_valid, more)
    frames = np.pad(frames, more)
    visual, audio = np.pad(visual, (*more, (0, 0))), np.pad(audio, (*more, (0, 0)))
    visual[~(visual_valid & frames)] = fill
    audio[~(audio_valid & frames)] = fill
    return Batch(
        torch.from_numpy(visual).to(dtype),
        torch.from_numpy(audio).to(dtype),
        torch.from_numpy(visual_valid),
        torch.from_numpy(audio_valid),
        torch.from_numpy(frames),
    )


def relative(ours: Tensor, wanted: Any, norm: str = "max") -> float:
    difference = ours.detach().double().numpy() - wanted
    if norm == "max":
        return float(np.abs(difference).max() / np.abs(wanted).max())
    return float(np.linalg.norm(difference) / np.linalg.norm(wanted))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"time_mix": "dense"},
        {"temporal": "none"},
        {"temporal": "none", "time_mix": "dense", "outputs": ("arousal",)},
        {"iterations": 1, "head": "separate"},
        {"iterations": 3, "head": "separate", "outputs": ("arousal", "valence")},
    ],
    ids=lambda changes: "-".join(map(str, changes.values())) or "default",
)
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_model_equals_the_numpy_computation(
    fusion: str, training: bool, changes: dict[str, Any]
) -> None:
    settings = config(fusion=fusion, **changes)
    ours, inputs = model(settings).train(training), batch()
    arrays = [x.numpy() for x in inputs.args()[:4]]
    wanted = reference(state_arrays(ours), settings, *arrays, LENGTHS, training)
    out = ours(*inputs.args())
    assert np.std(wanted.prediction[inputs.frames.numpy()], axis=0).min() > 0.05
    assert relative(out.prediction, wanted.prediction) < 1e-10
    assert relative(out.features, wanted.features) < 1e-10
    assert out.gates.keys() == wanted.gates.keys()
    for name, weights in wanted.gates.items():
        real = out.gates[name] * inputs.frames[..., None]
        assert relative(real, weights) < 1e-10
    assert bool(wanted.running) == training
    for name, value in wanted.running.items():
        assert relative(ours.state_dict()[name], value) < 1e-10


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("time_mix", ["none", "dense"])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_model_in_float32_is_near_the_numpy_computation(
    fusion: str, time_mix: str, training: bool
) -> None:
    settings = config(fusion=fusion, time_mix=time_mix)
    ours = model(settings, torch.float32).train(training)
    inputs = batch(dtype=torch.float32)
    arrays = [x.double().numpy() if x.is_floating_point() else x.numpy() for x in inputs.args()]
    wanted = reference(state_arrays(ours), settings, *arrays[:4], LENGTHS, training)
    out = ours(*inputs.args())
    assert relative(out.prediction, wanted.prediction, "l2") < 1e-4
    assert relative(out.features, wanted.features, "l2") < 1e-4


@pytest.mark.parametrize("fill", [float("nan"), float("inf"), 1e30])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("time_mix", ["none", "dense"])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_what_invalid_rows_hold_reaches_neither_output_nor_gradients(
    fusion: str, time_mix: str, training: bool, fill: float
) -> None:
    def run(content: float) -> tuple[FusionModel, Tensor]:
        made = model(config(fusion=fusion, time_mix=time_mix)).train(training)
        out = made(*batch(fill=content).args())
        (out.prediction.sum() + out.features.square().sum()).backward()
        return made, out.prediction

    (clean, prediction), (dirty, prediction_dirty) = run(0.0), run(fill)
    assert prediction_dirty.isfinite().all()
    assert torch.equal(prediction, prediction_dirty)
    for (name, x), y in zip(clean.named_parameters(), dirty.parameters(), strict=True):
        assert x.grad is not None, name
        assert y.grad is not None, name
        assert y.grad.isfinite().all(), name
        assert torch.equal(x.grad, y.grad), name


@pytest.mark.parametrize("fusion", FUSIONS)
def test_output_does_not_depend_on_the_length_of_the_padding(fusion: str) -> None:
    made = model(config(fusion=fusion)).eval()
    short, long = made(*batch().args()), made(*batch(total=3 * WINDOW).args())
    torch.testing.assert_close(
        long.prediction[:, :WINDOW], short.prediction, rtol=1e-11, atol=1e-13
    )
    torch.testing.assert_close(long.features[:, :WINDOW], short.features, rtol=1e-11, atol=1e-13)
    assert (long.prediction[:, WINDOW:] == 0).all()
    for b, n in enumerate(LENGTHS):
        alone = made(*batch().map(lambda x, b=b, n=n: x[b : b + 1, :n]).args())
        torch.testing.assert_close(
            alone.prediction[0], short.prediction[b, :n], rtol=1e-11, atol=1e-13
        )


@pytest.mark.parametrize("fusion", FUSIONS)
def test_training_step_does_not_change_when_the_padding_doubles(fusion: str) -> None:
    def step(total: int) -> tuple[FusionModel, Tensor]:
        made, inputs = model(config(fusion=fusion)).train(), batch(total)
        out = made(*inputs.args())
        target = torch.full((3, total, 2), float("nan"), dtype=torch.float64)
        labels = torch.linspace(-1, 1, 3 * WINDOW * 2, dtype=torch.float64)
        target[:, :WINDOW] = labels.sin().reshape(3, WINDOW, 2)
        loss = ccc_loss(out.prediction, target, inputs.frames[..., None].expand(-1, -1, 2))
        loss.backward()
        return made, loss

    (short, loss), (long, loss_long) = step(WINDOW), step(2 * WINDOW)
    torch.testing.assert_close(loss_long, loss, rtol=1e-11, atol=1e-13)
    for (name, x), y in zip(short.named_parameters(), long.parameters(), strict=True):
        assert x.grad is not None, name
        # A layer's bias before a batch normalisation has no gradient but rounding.
        torch.testing.assert_close(y.grad, x.grad, rtol=1e-9, atol=1e-13, msg=name)
    for name, value in short.state_dict().items():
        torch.testing.assert_close(long.state_dict()[name], value, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_clips_of_a_batch_do_not_mix(fusion: str) -> None:
    made, inputs = model(config(fusion=fusion)).eval(), batch()
    order = torch.tensor([2, 0, 1])
    out, permuted = made(*inputs.args()), made(*inputs.map(lambda x: x[order]).args())
    torch.testing.assert_close(permuted.prediction, out.prediction[order], rtol=1e-12, atol=1e-14)
    for name, weights in out.gates.items():
        torch.testing.assert_close(permuted.gates[name], weights[order], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_gradients_agree_with_finite_differences(fusion: str, training: bool) -> None:
    torch.manual_seed(2)
    settings = config(
        visual_dim=3, audio_dim=2, visual_channels=(3,), audio_channels=(2,), head_hidden=3,
        kernel=2, window=4, fusion=fusion, temperature=0.5,
    )  # fmt: skip
    made = FusionModel(settings).double().train(training)
    with torch.no_grad():
        # Where biases are 0 some sums are 0 to the bit, which is where ReLU has no derivative.
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    for module in made.modules():
        if isinstance(module, MaskedBatchNorm1d):
            module.momentum = 0.0
    frames = torch.tensor([[True] * 4, [True, True, True, False]])
    valid = torch.tensor([[True, False, True, True], [True] * 4])
    visual = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    audio = torch.randn(2, 4, 2, dtype=torch.float64, requires_grad=True)

    def run(v: Tensor, a: Tensor, *_: Tensor) -> tuple[Tensor, Tensor]:
        out = made(v, a, valid, torch.ones_like(valid), frames)
        return out.prediction, out.features

    assert torch.autograd.gradcheck(run, [visual, audio, *made.parameters()], fast_mode=True)
    (run(visual, audio)[0] * torch.arange(16.0).reshape(2, 4, 2).sin()).sum().backward()
    assert visual.grad is not None
    assert visual.grad[valid & frames].abs().min() > 0
    assert audio.grad is not None
    assert audio.grad[frames].abs().min() > 0


@pytest.mark.parametrize("times", [2, 5])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_repeated_clip_gets_its_own_predictions_repeated(fusion: str, times: int) -> None:
    made = model(config(fusion=fusion, temporal="none")).eval()
    once = batch(fill=0.0).map(lambda x: x[:1])
    again = once.map(lambda x: x.repeat(1, times, *([1] * (x.ndim - 2))))
    out, repeated = made(*once.args()), made(*again.args())
    torch.testing.assert_close(
        repeated.prediction, out.prediction.repeat(1, times, 1), rtol=1e-10, atol=1e-12
    )
    for name, weights in out.gates.items():
        torch.testing.assert_close(
            repeated.gates[name], weights.repeat(1, times, 1), rtol=1e-9, atol=1e-11
        )


@pytest.mark.parametrize(("visual_dim", "audio_dim"), [(1, 1), (1, 40), (37, 2)])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_any_dimension_and_a_set_without_one_modality(
    fusion: str, visual_dim: int, audio_dim: int
) -> None:
    torch.manual_seed(0)
    settings = config(
        fusion=fusion, visual_dim=visual_dim, audio_dim=audio_dim,
        visual_channels=(3,), audio_channels=(visual_dim + 1,),
    )  # fmt: skip
    made = FusionModel(settings)
    frames = torch.ones(2, 6, dtype=torch.bool)
    visual = torch.randn(2, 6, visual_dim)
    for audio_valid in (frames, torch.zeros_like(frames)):
        out = made(visual, torch.full((2, 6, audio_dim), 0.5), frames, audio_valid, frames)
        assert out.prediction.shape == (2, 6, 2)
        assert out.prediction.isfinite().all()
        assert out.prediction.std(dim=(0, 1)).min() > 0
        made.zero_grad()
        out.prediction.square().sum().backward()
        grads = [p.grad for p in made.parameters() if p.grad is not None]
        assert all(g.isfinite().all() for g in grads)
        token = made.audio.input.token.grad
        assert (token is not None and token.abs().max() > 0) == (not audio_valid.any())


def test_joint_attention_once_is_the_recursion_of_one_iteration() -> None:
    once, recursive = model(config(fusion="jca")), model(config(fusion="rjca", iterations=1))
    for ours, theirs in zip(once.parameters(), recursive.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(once(*batch().args()).prediction, recursive(*batch().args()).prediction)


def test_a_hierarchy_of_one_iteration_is_the_gated_model() -> None:
    made, plain = model(config(fusion="hgrjca", iterations=1)), model(config(iterations=1))
    weights = made.state_dict()
    plain.load_state_dict({k: weights[k.replace(".score", ".at.0.score") if "gate_" in k else k]
                           for k in plain.state_dict()})  # fmt: skip
    out, wanted = made.eval()(*batch().args()), plain.eval()(*batch().args())
    assert torch.equal(out.prediction, wanted.prediction)
    assert torch.equal(out.gates["visual_1"], wanted.gates["visual"])


def test_a_separate_head_is_a_model_of_its_own_for_each_output() -> None:
    made = model(config(head="separate")).train()
    out = made(*batch().args())
    assert out.features.shape == (3, WINDOW, 2 * 8)
    assert set(out.gates) == set(made.gates()) == {
        "valence_visual", "valence_audio", "arousal_visual", "arousal_audio",
    }  # fmt: skip
    for k, name in enumerate(("valence", "arousal")):
        alone = FusionModel(config(outputs=(name,))).double()
        alone.load_state_dict(made.models()[name].state_dict())
        assert torch.equal(alone(*batch().args()).prediction[..., 0], out.prediction[..., k])
    out.prediction[..., 0].sum().backward()
    grads = {n: [p.grad for p in m.parameters()] for n, m in made.models().items()}
    assert all(g is not None for g in grads["valence"])
    assert all(g is None or not g.any() for g in grads["arousal"])


def test_separate_models_lose_the_same_modality_and_are_standardised_alike() -> None:
    made = FusionModel(config(head="separate", modality_dropout=0.4)).double()
    valence, arousal = made.models().values()
    arousal.load_state_dict(valence.state_dict())
    made.set_standardisation(np.arange(6.0), np.arange(1.0, 7.0), np.ones(4), np.full(4, 2.0))
    seen = set()
    for seed in range(20):
        torch.manual_seed(seed)
        out = made(*batch().args()).prediction
        assert torch.equal(out[..., 0], out[..., 1])
        seen.add(float(out.detach().sum()))
    assert len(seen) > 1


def test_one_output_needs_no_separate_models() -> None:
    made = FusionModel(config(head="separate", outputs=("valence",)))
    plain = FusionModel(config(outputs=("valence",)))
    assert made.models() == {}
    assert made.state_dict().keys() == plain.state_dict().keys()


@pytest.mark.parametrize("head", ["joint", "separate"])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_gates_have_the_names_of_their_weights_and_can_be_fixed(fusion: str, head: str) -> None:
    made, inputs = model(config(fusion=fusion, head=head)).eval(), batch()
    out = made(*inputs.args())
    assert out.gates.keys() == made.gates().keys()
    assert bool(out.gates) == (fusion in ("grjca", "hgrjca"))
    mean = {name: w[inputs.frames].mean(0) for name, w in out.gates.items()}
    with fixed_gates(made.gates(), mean):
        fixed = made(*inputs.args())
    for name, w in fixed.gates.items():
        assert torch.equal(w, mean[name].expand_as(w))
    assert torch.equal(fixed.prediction, out.prediction) != bool(out.gates)
    assert torch.equal(made(*inputs.args()).prediction, out.prediction)


def test_missing_is_told_from_zero_and_from_average() -> None:
    made, inputs = model(config()).eval(), batch(fill=0.0)
    missing = made(*inputs.args()).prediction
    inputs.audio_valid = torch.ones_like(inputs.audio_valid)
    zero = made(*inputs.args()).prediction
    inputs.audio[1] = made.audio.input.mean
    average = made(*inputs.args()).prediction
    assert (missing - zero)[1, :9].abs().max() > 1e-2
    assert (missing - average)[1, :9].abs().max() > 1e-2


@pytest.mark.parametrize(
    ("fusion", "candidates"),
    [("grjca", {"": 4}), ("hgrjca", {"_1": 2, "_2": 3, "_3": 4, "_across": 3})],
)
def test_gates_sum_to_one_in_every_frame(fusion: str, candidates: dict[str, int]) -> None:
    out = model(config(fusion=fusion, iterations=3)).eval()(*batch().args())
    wanted = {f"{m}{name}": n for m in ("visual", "audio") for name, n in candidates.items()}
    assert {name: w.shape[-1] for name, w in out.gates.items()} == wanted
    for weights in out.gates.values():
        assert weights.shape[:2] == (3, WINDOW)
        torch.testing.assert_close(weights.sum(-1), torch.ones(3, WINDOW).double())


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_batch_of_padding_alone_is_finite(fusion: str) -> None:
    made, inputs = model(config(fusion=fusion)).train(), batch()
    inputs.frames = torch.zeros_like(inputs.frames)
    out = made(*inputs.args())
    assert (out.prediction == 0).all()
    out.features.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in made.parameters())


@pytest.mark.parametrize("head", ["joint", "separate"])
@pytest.mark.parametrize("outputs", [("valence",), ("arousal", "valence")])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_saved_weights_and_configuration_bring_the_model_back(
    fusion: str, outputs: tuple[str, ...], head: str, tmp_path: Path
) -> None:
    settings = config(fusion=fusion, outputs=outputs, head=head, time_mix="dense")
    made = model(settings).eval()
    made.set_standardisation(np.arange(6.0), np.arange(1.0, 7.0), np.ones(4), np.full(4, 2.0))
    save_file(made.state_dict(), tmp_path / "weights.safetensors")
    text = json.dumps(dataclasses.asdict(made.config))
    again = FusionModel(FusionConfig(**json.loads(text))).double().eval()
    again.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert again.config == made.config
    out = made(*batch().args()).prediction
    assert out.shape == (3, WINDOW, len(outputs))
    assert torch.equal(again(*batch().args()).prediction, out)


def test_standardisation_is_part_of_the_model() -> None:
    made, inputs = FusionModel(config()).double().eval(), batch(fill=0.0)
    plain = made(*inputs.args()).prediction
    mean, std = torch.linspace(-3, 3, 6).double(), torch.linspace(0.5, 4, 6).double()
    made.set_standardisation(mean, std, torch.zeros(4), torch.ones(4))
    inputs.visual = inputs.visual * std + mean
    torch.testing.assert_close(made(*inputs.args()).prediction, plain, rtol=1e-6, atol=1e-6)


def test_a_constant_dimension_is_centred_and_not_blown_up() -> None:
    made = FusionModel(config())
    std = np.array([1.0, 0.0, 1e-9, 1e-9, 1.0, 1.0])
    made.set_standardisation(np.array([0, 0, 5, 0, 5, 5.0]), std, np.zeros(4), np.ones(4))
    wanted = torch.tensor([1.0, 1.0, 1.0, 1e-9, 1.0, 1.0])
    torch.testing.assert_close(made.visual.input.std, wanted)


@pytest.mark.parametrize(
    ("mean", "std", "cause"),
    [
        (np.zeros(5), np.ones(6), "6"),
        (np.zeros(6), np.full(6, np.nan), "finite"),
        (np.full(6, np.inf), np.ones(6), "finite"),
        (np.zeros(6), np.full(6, -1.0), "negative"),
    ],
)
def test_bad_statistics_are_refused(mean: Any, std: Any, cause: str) -> None:
    with pytest.raises(ValueError, match=cause):
        FusionModel(config()).set_standardisation(mean, std, np.zeros(4), np.ones(4))


def test_linear_layers_start_xavier_uniform_with_zero_bias() -> None:
    made = FusionModel(config(visual_channels=(64,), audio_channels=(64,), time_mix="dense"))
    for layer in made.modules():
        if isinstance(layer, torch.nn.Linear):
            bound = (6 / (layer.in_features + layer.out_features)) ** 0.5
            assert (layer.bias == 0).all()
            assert 0.8 * bound < layer.weight.abs().max() <= bound


def test_modality_dropout_takes_one_modality_of_a_clip_at_most() -> None:
    torch.manual_seed(0)
    visual, audio = torch.ones(4000, 3).bool(), torch.ones(4000, 3).bool()
    visual[:, 0] = False
    visual[:500], audio[3500:] = False, False
    kept_visual, kept_audio = drop_modalities(visual, audio, 0.5)
    assert (kept_visual | kept_audio).any(1).all()
    assert torch.equal(kept_visual[3500:], visual[3500:])
    assert torch.equal(kept_audio[:500], audio[:500])
    middle = slice(500, 3500)
    for kept, given in ((kept_visual, visual), (kept_audio, audio)):
        dropped = ~kept[middle].any(1)
        assert torch.equal(kept[middle][~dropped], given[middle][~dropped])
        # One draw alone: 1/4; both drawn and this one lost the toss: 1/8.
        assert abs(dropped.double().mean() - 0.375) < 0.03


def test_modality_dropout_is_the_token_in_training_and_off_in_evaluation() -> None:
    made, inputs = model(config(modality_dropout=0.6)), batch()
    plain = model(config())
    made.load_state_dict(plain.state_dict())
    assert torch.equal(
        made.eval()(*inputs.args()).prediction, plain.eval()(*inputs.args()).prediction
    )
    made.train()
    plain.train()
    torch.manual_seed(0)
    present = inputs.visual_valid & inputs.frames, inputs.audio_valid & inputs.frames
    visual, audio = drop_modalities(*present, 0.6)
    assert not torch.equal(visual, present[0]) or not torch.equal(audio, present[1])
    torch.manual_seed(0)
    out = made(*inputs.args()).prediction
    wanted = plain(inputs.visual, inputs.audio, visual, audio, inputs.frames).prediction
    assert torch.equal(out, wanted)


def test_modality_dropout_is_not_misled_by_what_masks_say_of_padding() -> None:
    made, inputs = model(config(modality_dropout=0.99)), batch(fill=0.0)
    inputs.audio_valid[1, 9:] = True  # the second clip has 9 frames, none with sound
    other = dataclasses.replace(inputs, audio_valid=inputs.audio_valid & inputs.frames)
    for seed in range(20):
        torch.manual_seed(seed)
        said = made(*inputs.args()).prediction
        torch.manual_seed(seed)
        assert torch.equal(said, made(*other.args()).prediction)


@pytest.mark.parametrize(
    ("position", "change", "name"),
    [
        (0, lambda x: x[..., :5], "visual"),
        (1, lambda x: x[:, :-1], "audio"),
        (2, lambda x: x.double(), "visual_valid"),
        (4, lambda x: x[:2], "frames"),
    ],
)
def test_shapes_that_do_not_fit_are_named(position: int, change: Any, name: str) -> None:
    args = list(batch().args())
    args[position] = change(args[position])
    with pytest.raises(ValueError, match=f"^{name}: wanted"):
        model(config())(*args)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"fusion": "sum"}, "fusion"),
        ({"outputs": ()}, "outputs"),
        ({"outputs": ("valence", "valence")}, "outputs"),
        ({"outputs": ("joy",)}, "outputs"),
        ({"temporal": "lstm"}, "temporal"),
        ({"time_mix": "sparse"}, "time_mix"),
        ({"head": "both"}, "head"),
        ({"visual_channels": ()}, "visual_channels"),
        ({"audio_channels": (4, 0)}, "audio_channels"),
        ({"iterations": 0}, "iterations"),
        ({"window": 2.5}, "window"),
        ({"temperature": 0.0}, "temperature"),
        ({"attention_dropout": 1.0}, "attention_dropout"),
        ({"modality_dropout": float("nan")}, "modality_dropout"),
    ],
)
def test_bad_configurations_are_refused_by_name(changes: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} must"):
        config(**changes)
