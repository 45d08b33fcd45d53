"""How long a training waits for its windows when they are read from the store."""

from __future__ import annotations

import itertools
import statistics
import time as clock
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar
from unittest import mock

from benchmarks.figures import Cell, Figures
from benchmarks.shards import drop_cache
from benchmarks.training import Case, write_set
from grjca.cache.packing import pack
from grjca.cache.store import FeatureStore
from grjca.fusion import inference, window_set
from grjca.fusion.prefetch import ahead
from grjca.fusion.presets import preset
from grjca.fusion.train_config import TrainConfig
from grjca.fusion.trainer import train
from grjca.labels.records import Labels
from grjca.labels.splits import Split

NAME = "reading"

LIMIT = 0.05

CASES = {
    "small": Case("60 clips of 20-60 s", 60, (500, 1500)),
    "paper": Case("8 clips of 20-60 s", 8, (500, 1500)),
}
"""By preset. An epoch waits at least for its first batch and for validation's, so that it must not
be much shorter than where reading from the store matters: on sets larger than memory."""

Made = TypeVar("Made")


@dataclass
class Clock:
    """Seconds that a training waited for windows, and the processor's seconds to read them."""

    waited: float = 0.0
    worked: float = 0.0

    def ahead(self, calls: Iterable[Callable[[], Made]]) -> Iterator[Made]:
        """As ``grjca.fusion.prefetch.ahead``, with an eye on the clock."""

        def timed(call: Callable[[], Made]) -> Made:
            began = clock.thread_time()
            made = call()
            self.worked += clock.thread_time() - began
            return made

        made = ahead(partial(timed, call) for call in calls)
        while True:
            began = clock.perf_counter()
            try:
                result = next(made)
            except StopIteration:
                return
            finally:
                self.waited += clock.perf_counter() - began
            yield result


def run(scratch: Path, epochs: int, cases: Mapping[str, Case] = CASES) -> Figures:
    """Train from a store of a file per clip and from a packed one, cold and warm, and in memory.

    Each row is the median of epochs of a training, all that an epoch does included; the first,
    in which torch loads what it needs, does not count. Cold means that the store is thrown out of
    the kernel's memory before each epoch.

    Args:
        scratch: Folder for stores and runs.
        epochs: Epochs that count, at least 1.
        cases: The clips, by the preset that is trained on them.
    """
    rows: list[dict[str, Cell]] = []
    dropped = ""
    for name, case in cases.items():
        folder = scratch / name
        labels, split = write_set(folder / "plain", case)
        report = pack(folder / "plain", folder / "packed")
        if report.failed:
            raise report.failed[0]
        for store, start in (
            ("a file per clip", "cold"), ("a file per clip", "warm"), ("packed", "cold"),
            ("packed", "warm"), ("a file per clip", "in memory"),
        ):  # fmt: skip
            root = folder / ("packed" if store == "packed" else "plain")
            chosen = preset(name)
            config = TrainConfig(**{**chosen.train, "epochs": epochs + 1})
            config = replace(config, stop_after=epochs + 1, threads=1)
            if start != "in memory":
                config = replace(config, memory_limit=0)
            out = folder / "runs" / store / start
            measured, how = _epochs(root, labels, split, chosen.model, config, out, start == "cold")
            dropped = how or dropped
            rows.append(
                {"preset": name, "set": case.name, "store": store, "start": start, **measured}
            )
    worst = max(float(str(row["waiting, share"])) for row in rows)
    return Figures(
        NAME,
        f"waiting for windows takes less than {LIMIT:.0%} of an epoch",
        worst < LIMIT,
        rows,
        {"worst share": worst, "cold start": dropped},
    )


def _epochs(
    root: Path,
    labels: Labels,
    split: Split,
    model: Mapping[str, object],
    config: TrainConfig,
    out: Path,
    cold: bool,
) -> tuple[dict[str, Cell], str]:
    watch, measured, how = Clock(), [], ""

    def note(row: Mapping[str, float]) -> None:
        nonlocal how
        work = clock.process_time()
        measured.append((row["seconds"], watch.waited, watch.worked, work))
        how = drop_cache(root) if cold else ""
        watch.waited = watch.worked = 0.0

    with ExitStack() as stack:
        for module in (window_set, inference):
            stack.enter_context(mock.patch.object(module, "ahead", watch.ahead))
        train(FeatureStore(root), labels, split, model, config, out, log=note, progress=False)
    processor = [after[3] - before[3] for before, after in itertools.pairwise(measured)]
    seconds, waited, worked = (statistics.median(m[i] for m in measured[1:]) for i in range(3))
    return {
        "epoch s": seconds,
        "waiting s": waited,
        "waiting, share": waited / seconds,
        "reading, share of processor": worked / statistics.median(processor),
    }, how
