"""What a run says while it trains: a bar over all seeds on a terminal, lines elsewhere."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from rich.console import Console

from clbench.render.progress import LiveProgress, mean_so_far, waiting

WIDTH = 80


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=WIDTH, color_system=None)


def shown(console: Console) -> list[str]:
    """All that was drawn, one line after another."""
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return [line for line in re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)) if line.strip()]


@contextmanager
def bar(label: str = "ewc-fixed", seed: int = 2, seeds: int = 3) -> Iterator[tuple[LiveProgress, Console]]:
    console = terminal()
    progress = LiveProgress(console, label, seed, seeds)
    try:
        yield progress, console
    finally:
        progress.close()


def test_the_bar_tells_seed_stage_and_accuracy_so_far() -> None:
    with bar() as (progress, console):
        progress.run_started(5)
        for stage in (1, 2, 3):
            progress.stage_started(stage, 100)
            progress.stage_finished(stage, [0.9, 0.98, 0.961, 0.5, 0.5])
        progress.stage_started(4, 100)
        progress.stepped(50, 1)
        (task,) = progress._bar.tasks
        assert (task.total, task.completed) == (15, 5 + 3.5)
        progress._bar.refresh()
    last = shown(console)[-1]
    assert re.search(r"seed 2/3, stage 4/5, epoch 1, \d+ steps/s · 94\.7 %", last), last
    assert last.startswith("ewc-fixed")
    assert all(len(line) <= WIDTH for line in shown(console))


def test_one_seed_is_not_counted_and_long_names_leave_room() -> None:
    with bar("lwf+" * 20 + "er", 1, 1) as (progress, console):
        progress.run_started(2)
        progress.stage_started(1, 10)
        progress.stepped(5, 1)
        progress._bar.refresh()
    last = shown(console)[-1]
    assert "stage 1/2, epoch 1" in last
    assert "seed" not in last
    assert "%" not in last, "nothing has been evaluated"
    assert len(last) <= WIDTH


@pytest.mark.parametrize(
    ("stage", "stages", "row", "mean"),
    [
        (2, 3, [0.8, 0.6, 0.0], 0.7),
        (1, 1, [0.8, 0.6, 0.1], 0.5),  # joint training
        (3, 3, [0.9], 0.9),  # one test set for all
        (2, 3, [None, 0.6, None], 0.6),
        (1, 3, [None, 0.2, 0.4], 0.3),
    ],
)
def test_mean_accuracy_so_far(stage: int, stages: int, row: list[float | None], mean: float) -> None:
    assert mean_so_far(stage, stages, row) == pytest.approx(mean)


def test_waiting_is_told_on_a_terminal_alone() -> None:
    console, file = terminal(), Console(file=io.StringIO(), width=WIDTH)
    with waiting(console, "loading"), waiting(file, "loading"):
        pass
    assert "loading …" in console.file.getvalue()  # type: ignore[attr-defined]
    assert not file.file.getvalue()  # type: ignore[attr-defined]
