"""The Ray executor: the same work as Ray tasks, on the machines of a cluster or on this one.

Ray places tasks, and begins a task again whose machine is lost. Datasets are put into Ray's object store once; each
machine gets one copy, which its workers share. Results are written by the workers to the shared store.
"""

from __future__ import annotations

import os
import socket
import time
from typing import Any

from clbench.errors import UserError
from clbench.sweeps.executor import Executor, Outcome, Work, attempt

RETRIES = 3  # of Ray's own, for a lost machine or process
FRESH_SECONDS = 5.0
PATIENCE = 5.0  # seconds until an address counts as dead
GivenData = tuple[int | None, dict[str, Any] | None, Any]  # image size, options of ``data``, dataset


class RayExecutor(Executor):
    """Tasks of a Ray cluster (``address`` 'auto' or host:port), or of a Ray of its own on this machine.

    cpus, gpus: what each piece of work takes. workers: how many at once, or as many as fit. datasets: what workers are
    given. Raises UserError if there is no Ray, or none at the address.
    """

    def __init__(
        self, address: str | None, workers: int | None, cpus: int, gpus: float, datasets: list[GivenData]
    ) -> None:
        self._ray = _connected(address, workers, cpus)
        self._workers = workers
        self._needs = {"num_cpus": cpus, "num_gpus": gpus}
        self._data = [self._ray.put(one) for one in datasets]
        self._task = self._ray.remote(max_retries=RETRIES, **self._needs)(_do)
        self._running: dict[Any, str] = {}
        self._counted = (-FRESH_SECONDS, 1)

    @property
    def slots(self) -> int:  # type: ignore[override]
        """As many as fit on the machines that are there now."""
        when, count = self._counted
        if time.monotonic() - when >= FRESH_SECONDS:
            there = self._ray.cluster_resources()
            fits = [int(there.get("CPU", 0) / self._needs["num_cpus"])]
            fits += [int(there.get("GPU", 0) / self._needs["num_gpus"])] if self._needs["num_gpus"] else []
            count = max(min(fits), 1) if self._workers is None else self._workers
            self._counted = (time.monotonic(), count)
        return count

    def submit(self, key: str, work: Work) -> None:
        """Hand a task to Ray."""
        self._running[self._task.remote(key, work, self._data)] = key

    def wait(self, seconds: float) -> list[Outcome]:
        """Ask Ray what has ended."""
        if not self._running:
            return []
        ended, _ = self._ray.wait(list(self._running), num_returns=1, timeout=seconds)
        return [self._outcome(task, self._running.pop(task)) for task in ended]

    def _outcome(self, task: Any, key: str) -> Outcome:
        try:
            outcome: Outcome = self._ray.get(task)
        except self._ray.exceptions.TaskCancelledError:
            return Outcome(key, stopped=True)
        except self._ray.exceptions.RayError as error:
            return Outcome(key, failure=f"Ray: {str(error).strip().splitlines()[0]}")
        return outcome

    def stop(self) -> None:
        """Cancel: what runs is continued from its last checkpoint."""
        for task in self._running:
            self._ray.cancel(task)

    def close(self) -> None:
        """Cancel with force and leave the cluster."""
        for task in self._running:
            self._ray.cancel(task, force=True)
        self._running = {}
        self._ray.shutdown()


def _do(key: str, work: Work, data: list[Any]) -> Outcome:
    """A task: take the datasets from this machine's store, then work."""
    import warnings

    import ray

    from clbench.data import cache

    warnings.simplefilter("ignore")  # what matters is in the outcome
    for size, said, dataset in ray.get(data):
        cache.give(dataset, size, said)
    try:
        return attempt(key, work, lambda: False)
    except KeyboardInterrupt:  # how Ray cancels
        return Outcome(key, stopped=True)


def _connected(address: str | None, workers: int | None, cpus: int) -> Any:
    try:
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        import ray
    except ModuleNotFoundError:
        raise UserError("--executor ray needs ray, which is not installed. Run: pip install 'clbench[ray]'") from None
    if address is not None and address != "auto":
        _answers(address)
    own = {} if address else {"num_cpus": max((workers or 1) * cpus, os.cpu_count() or 1), "include_dashboard": False}
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level="ERROR", **own)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise UserError(
            f"--address {address}: no Ray cluster answers ({str(error).strip().splitlines()[0]}). Start one with "
            "'ray start --head', or leave --address out to use this machine alone."
        ) from None
    return ray


def _answers(address: str) -> None:
    """Knock at an address, which Ray itself would do for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), PATIENCE).close()
    except (OSError, ValueError, OverflowError) as error:
        raise UserError(
            f"--address {address}: no Ray cluster answers there ({error}). Give host:port of one that runs, 'auto' on "
            "one of its machines, or leave --address out to use this machine alone."
        ) from None
