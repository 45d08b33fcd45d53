"""Reading ahead of the caller."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from toy_features import SMALL, make_toy

from grjca.fusion.config import FusionConfig
from grjca.fusion.dataset import load_clips
from grjca.fusion.inference import predict_rows
from grjca.fusion.model import FusionModel
from grjca.fusion.prefetch import ahead


def test_results_come_in_order_and_one_ahead() -> None:
    begun: list[int] = []
    started = [threading.Event() for _ in range(5)]

    def make(i: int) -> int:
        begun.append(i)
        started[i].set()
        return 10 * i

    calls: list[Callable[[], int]] = [partial(make, i) for i in range(5)]
    for i, result in enumerate(ahead(calls)):
        assert result == 10 * i
        if i + 1 < len(calls):
            # The next is made although this one is not done with; the one after it is not.
            assert started[i + 1].wait(10)
        assert begun == list(range(min(i + 2, len(calls))))
    assert list(ahead([])) == []


def test_an_error_comes_where_its_result_would_have_come() -> None:
    def fail() -> int:
        raise ValueError("damaged")

    results = ahead([lambda: 1, fail, lambda: 3])
    assert next(results) == 1
    with pytest.raises(ValueError, match="damaged"):
        next(results)


def test_predictions_are_read_while_the_model_works(monkeypatch: pytest.MonkeyPatch) -> None:
    toy = make_toy(4, 1)
    clips = load_clips(
        toy.source, toy.labels, list(toy.split.train), [], visual="fer", audio="logmel",
        outputs=toy.labels.names, modalities=("visual", "audio"), rate=None, memory_limit=0,
    )  # fmt: skip
    sequences = [clip.sequence for clip in clips.clips.values()]
    torch.manual_seed(0)
    model = FusionModel(FusionConfig(6, 4, window=20, **SMALL))
    alone = [predict_rows(model, [one], 20, 15)[0].values for one in sequences]
    threads = []
    read = type(toy.source).read

    def reading(*arguments: object, **named: object) -> object:
        threads.append(threading.current_thread())
        return read(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(type(toy.source), "read", reading)
    together = predict_rows(model, sequences, 20, 15, batch=3)
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, other.values, atol=1e-6)
    assert threads
    assert threading.main_thread() not in threads
