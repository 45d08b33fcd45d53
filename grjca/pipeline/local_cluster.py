"""Dask's workers as processes of this machine."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
from collections.abc import Iterator

from distributed import Client, LocalCluster

from grjca.errors import UsageError, one_line

_REMEDY = (
    "In a script of your own put what it does below: if __name__ == '__main__': or take workers=1."
)


@contextlib.contextmanager
def local_client(workers: int, dashboard: bool = False) -> Iterator[Client]:
    """A client of a cluster of one-thread processes that nobody else on the network reaches.

    Args:
        workers: How many processes.
        dashboard: Whether Dask's own page is served, to this machine.

    Raises:
        UsageError: The processes cannot start, as those of a script that begins its work wherever
            it is imported: every new process imports it.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise UsageError("cluster", "workers", "a new worker began the script anew", _REMEDY)
    with contextlib.ExitStack() as stack:
        try:
            cluster = LocalCluster(
                n_workers=workers, threads_per_worker=1, memory_limit=0,
                scheduler_kwargs={"dashboard": dashboard}, dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL,
            )  # fmt: skip
        except RuntimeError as error:
            cause = f"the processes did not start ({one_line(str(error)).rstrip('.')})"
            raise UsageError("cluster", "workers", cause, _REMEDY) from error
        stack.enter_context(cluster)
        yield stack.enter_context(Client(cluster, set_as_default=False))
