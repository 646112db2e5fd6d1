"""A sweep: give out what is left of a plan until nothing is; what fails is tried again, with the reason kept."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from clbench.config import RunConfig
from clbench.errors import UnwritableError
from clbench.sweeps.executor import Executor, Outcome, Work
from clbench.sweeps.ledger import Failure, Ledger, Progress, label, now, this_process
from clbench.sweeps.work import Done

TELL_SECONDS = 1.0


@dataclass
class Tally:
    """Where a sweep stands. ``skipped`` were done before; ``failures`` are runs that will not be tried again."""

    total: int
    skipped: int = 0
    done: list[Done] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    running: list[str] = field(default_factory=list)
    seconds: float = 0.0
    stopped: bool = False

    @property
    def left(self) -> int:
        """Runs that are neither done nor given up; those that run are among them."""
        return self.total - self.skipped - len(self.done) - len(self.failures)

    @property
    def seconds_left(self) -> float | None:
        """At the pace of this sitting."""
        ended = len(self.done)
        return self.seconds / ended * self.left if ended else None


class Sweep:
    """Runs of a plan in a results folder. Failures that were noted before count, unless they are forgiven."""

    def __init__(self, configs: Sequence[RunConfig], ledger: Ledger, retries: int, forgive: bool = False) -> None:
        self.ledger = ledger
        self.retries = retries
        names = {config.run_id: config.result_name for config in configs}
        present = ledger.present()
        known = ledger.failures()
        if forgive:
            for run in known:
                ledger.forgive(run)
            known = {}
        ledger.begin(names)
        self.tally = Tally(len(configs))
        self.attempts: dict[str, int] = {}
        self.queue: deque[RunConfig] = deque()
        for config in configs:
            failure = known.get(config.run_id)
            self.attempts[config.run_id] = failure.attempts if failure else 0
            if names[config.run_id] in present:
                self.tally.skipped += 1
            elif failure and failure.attempts > retries:
                self.tally.failures.append(failure)
            else:
                self.queue.append(config)

    def conduct(
        self,
        executor: Executor,
        work: Callable[[RunConfig], Work],
        plan: str,
        told: Callable[[Tally], None],
        stopping: Callable[[], bool],
    ) -> Tally:
        """Run what is left; ``told`` hears of every change. Raises UnwritableError if Results cannot be written."""
        tally, running = self.tally, dict[str, RunConfig]()
        began, last = time.monotonic(), -TELL_SECONDS
        progress = Progress(plan, tally.total, now(), this_process())
        asked = False
        while running or (self.queue and not asked):
            while self.queue and not asked and len(running) < executor.slots:
                config = self.queue.popleft()
                running[config.run_id] = config
                executor.submit(config.run_id, work(config))
            tally.running = [label(config) for config in running.values()]
            tally.seconds = time.monotonic() - began
            told(tally)
            if tally.seconds - last >= TELL_SECONDS:
                last = tally.seconds
                self._tell(progress)
            for outcome in executor.wait(0.5):
                self._ended(running.pop(outcome.key), outcome)
            if stopping() and not asked:
                asked = True
                executor.stop()
        tally.running, tally.seconds, tally.stopped = [], time.monotonic() - began, asked
        progress.closed = True
        self._tell(progress)
        told(tally)
        return tally

    def _tell(self, progress: Progress) -> None:
        progress.seconds, progress.ended = self.tally.seconds, len(self.tally.done)
        progress.running = self.tally.running
        self.ledger.tell(progress)

    def _ended(self, config: RunConfig, outcome: Outcome) -> None:
        run = config.run_id
        if outcome.stopped:
            return
        if outcome.hopeless:
            raise UnwritableError(outcome.failure)
        if outcome.failure is None:
            self.tally.done.append(outcome.value)
            if self.attempts[run]:
                self.ledger.forgive(run)
            return
        self.attempts[run] += 1
        failure = Failure(run, label(config), self.attempts[run], outcome.failure)
        self.ledger.failed(failure)
        if failure.attempts > self.retries:
            self.tally.failures.append(failure)
        else:
            self.queue.append(config)
