"""Joint cross-attention in kernels against float64, on made features."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_reference import JointCase, assert_near, gradients, joint_case, joint_reference
from torch import Tensor

from grjca.fusion.kernels import joint_launch
from grjca.fusion.kernels.joint import joint_attention

SEED = torch.tensor([12345678901234])


def attend(case: JointCase, dropout: float = 0.0, seed: Tensor | None = None) -> tuple[Tensor, ...]:
    return joint_attention(
        case.visual, case.audio, case.keys, case.frames, case.scale, seed, dropout, case.weights
    )


def compare(case: JointCase, tolerance: float = 2e-6, gradient_tolerance: float = 1e-5) -> None:
    mine, exact = case.cast(torch.float32, torch.float32), case.cast(torch.float64, torch.float64)
    out, wanted = attend(mine)[:2], joint_reference(exact)
    assert_near(out, wanted, tolerance, "result")
    assert_near(
        gradients(out, mine.outer, mine.leaves()),
        gradients(wanted, exact.outer, exact.leaves()),
        gradient_tolerance,
        "gradient",
    )


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize(
    ("lengths", "total", "widths"),
    [
        ((11, 4, 0), 11, (6, 5)),  # a clip of padding alone
        ((1, 1), 1, (8, 4)),
        ((33,), 40, (33, 17)),  # no dimension is a multiple of a block
        ((3,), 3, (70, 1)),
    ],
)
def test_float32_against_float64(
    lengths: tuple[int, ...], total: int, widths: tuple[int, int], mixed: bool
) -> None:
    compare(joint_case(lengths, total, widths, mixed=mixed))


def test_a_thousand_frames() -> None:
    compare(joint_case((1000,), 1003, (20, 12)))


@settings(max_examples=7, deadline=None, derandomize=True)
@given(
    lengths=st.lists(st.integers(0, 36), min_size=1, max_size=2),
    widths=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    more=st.integers(0, 5),
    mixed=st.booleans(),
)
def test_any_sizes(lengths: list[int], widths: tuple[int, int], more: int, mixed: bool) -> None:
    compare(joint_case(lengths, max(*lengths, 1) + more, widths, mixed=mixed, seed=sum(widths)))


def test_padding_stays_zero_and_changes_nothing() -> None:
    short = joint_case((7, 5), 7, (10, 6))
    long = joint_case((7, 5), 7, (10, 6))
    for name in ("visual", "audio"):
        padded = torch.nn.functional.pad(getattr(long, name), (0, 0, 0, 30))
        setattr(long, name, padded)
    long.frames = torch.nn.functional.pad(long.frames, (0, 30))
    for a, b in zip(attend(short)[:2], attend(long)[:2], strict=True):
        assert torch.equal(b[:, :7], a)
        assert not b[:, 7:].any()


def test_nan_is_not_hidden() -> None:
    case = joint_case((5,), 5, (6, 4))
    case.weights[7][0] = torch.nan
    out = attend(case)[0]
    assert out[..., 0].isnan().all()
    assert not out[..., 1:].isnan().any()


def test_what_is_dropped_is_dropped_in_the_backward_pass_too() -> None:
    case = joint_case((37, 20), 37, (34, 14))
    mine, exact = case.cast(torch.float32, torch.float32), case.cast(torch.float64, torch.float64)
    visual, audio, correlation, _, *through = attend(mine, 0.6, SEED)
    # Where ReLU let nothing through it does not matter what dropout did.
    kept = (correlation != 0, *through)
    wanted = joint_reference(exact, 0.6, kept)
    assert_near((visual, audio), wanted, 2e-6, "result")
    assert_near(
        gradients((visual, audio), mine.outer, mine.leaves()),
        gradients(wanted, exact.outer, exact.leaves()), 2e-5, "gradient",
    )  # fmt: skip


def test_dropout_drops_its_share_and_follows_from_the_seed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = joint_case((30, 30), 30, (32, 32))
    first = attend(case, 0.6, SEED)
    kept = first[2] != 0
    assert kept.float().mean() == pytest.approx(0.4, abs=0.02)
    # No row, column, clip or modality draws what another draws.
    for axis in range(3):
        assert 0.44 < (kept == kept.roll(1, axis)).float().mean() < 0.6
    for m in (6, 8):  # ReLU lets all through, so that what was added is what dropout kept
        case.weights[m][:] = 0
        case.weights[m + 1][:] = 1
    first = attend(case, 0.6, SEED)
    both = [x - y > 1 for x, y in zip(first[:2], (case.visual, case.audio), strict=True)]
    assert both[0].float().mean() == pytest.approx(0.4, abs=0.03)
    assert 0.44 < (both[0] == both[1]).float().mean() < 0.6
    assert torch.equal(first[4], both[0])
    assert torch.equal(first[5], both[1])
    assert not torch.equal(attend(case, 0.6, SEED + 1)[2] != 0, kept)
    monkeypatch.setattr(joint_launch, "tiles", lambda *_: (16, 16, 32, 16))
    again = attend(case, 0.6, SEED)
    assert torch.equal(again[2] != 0, kept)
    assert torch.equal(again[4], first[4])


def test_products_in_half_precision() -> None:
    # Features in float32, products in less, as in mixed precision; float16, since Triton's
    # interpreter multiplies the bits of bfloat16 as if they were whole numbers.
    case = joint_case((24, 9), 24, (24, 16))
    mine, exact = case.cast(torch.float32, torch.float16), case.cast(torch.float64, torch.float64)
    out, wanted = attend(mine), joint_reference(exact)
    assert [x.dtype for x in out[:4]] == [torch.float32] * 2 + [torch.float16] * 2
    assert_near(out[:2], wanted, 0.002, "result")
    assert_near(
        gradients(out[:2], mine.outer, mine.leaves()),
        gradients(wanted, exact.outer, exact.leaves()), 0.005, "gradient",
    )  # fmt: skip
