import pytest

from grjca.fusion.schedule import Schedule, ScheduleConfig, Verdict

CONFIG = ScheduleConfig(
    lr=1.0, warmup_epochs=4, plateau_patience=2, plateau_factor=0.1, min_lr=0.05, stop_after=50
)


def test_the_warm_up_is_a_linear_ramp() -> None:
    schedule = Schedule(CONFIG)
    assert [schedule.rate(epoch) for epoch in range(1, 7)] == [0.25, 0.5, 0.75, 1, 1, 1]
    flat = Schedule(ScheduleConfig(0.3, 0, 2, 0.1, 0.0, 50))
    assert flat.rate(1) == 0.3


def test_the_rate_falls_when_patience_is_exceeded_and_not_during_the_warm_up() -> None:
    schedule = Schedule(CONFIG)
    verdicts = [schedule.record(epoch, score) for epoch, score in enumerate([0.5] + [0.4] * 7, 1)]
    assert verdicts[0] is Verdict.IMPROVED
    assert verdicts[1:6] == [Verdict.WAIT] * 5
    assert verdicts[6] is Verdict.LOWER
    assert schedule.rate(8) == pytest.approx(0.1)
    assert verdicts[7] is Verdict.WAIT
    assert schedule.best_epoch == 1


def test_a_second_fall_below_the_smallest_rate_stops() -> None:
    schedule = Schedule(CONFIG)
    verdicts = [schedule.record(epoch, 0.0) for epoch in range(1, 11)]
    assert verdicts[6] is Verdict.LOWER
    assert verdicts[9] is Verdict.STOP


def test_stop_after_counts_from_the_best_epoch() -> None:
    schedule = Schedule(ScheduleConfig(1.0, 0, 100, 0.1, 0.0, 3))
    scores = [0.1, 0.05, 0.2, 0.2, 0.1, 0.1]
    verdicts = [schedule.record(epoch, score) for epoch, score in enumerate(scores, 1)]
    assert verdicts[2] is Verdict.IMPROVED
    assert verdicts[3:] == [Verdict.WAIT, Verdict.WAIT, Verdict.STOP]
