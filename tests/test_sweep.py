"""Sweeps from the command line, on real data: what is run, what is not run again, what is said."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from clbench import store
from clbench.analysis.runs import run_of
from clbench.analysis.standing import Standing, standings
from clbench.cli import app
from clbench.config import RunConfig, resolve
from clbench.errors import UnwritableError, UserError
from clbench.render.sweep import duration, so_far
from clbench.store import LocalFolder
from clbench.sweeps.conduct import Sweep, Tally
from clbench.sweeps.estimate import estimate
from clbench.sweeps.executor import Executor, InlineExecutor, Stopping, attempt
from clbench.sweeps.ledger import Failure, Ledger, alone, is_running
from clbench.sweeps.local import LocalExecutor, slots
from clbench.sweeps.work import Done
from tests.helpers import make_result

PLAN: dict[str, Any] = {
    "base": {"scenario": "split-digits", "epochs": 1},
    "grid": {"strategy": ["naive", "ewc"], "strategy.lam": [1, 10]},
    "seeds": 2,
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write(PLAN)
    return tmp_path


def write(plan: dict[str, Any]) -> None:
    Path("plan.yaml").write_text(yaml.safe_dump(plan))


@dataclass
class Said:
    returncode: int
    stdout: str
    stderr: str


def clbench(*words: str) -> Said:
    """In this process: the server from which workers are forked lives on from test to test."""
    done = CliRunner().invoke(app, list(words))
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return Said(done.exit_code, done.stdout, done.stderr)


def refused(*words: str) -> str:
    done = CliRunner().invoke(app, ["sweep", *words])
    assert isinstance(done.exception, UserError), done.output
    return str(done.exception)


def test_a_plan_is_run_once_whoever_asks_again(here: Path) -> None:
    done = clbench("sweep", "plan.yaml", "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert "6 of 6 runs are in results" in done.stderr
    files = {file: file.stat().st_mtime_ns for file in Path("results").rglob("s*.json")}
    assert len(files) == 6
    again = clbench("sweep", "run", "--workers", "2", "plan.yaml")
    assert "(6 were done before)" in again.stderr
    assert files == {file: file.stat().st_mtime_ns for file in Path("results").rglob("s*.json")}
    status = clbench("sweep", "status")
    assert status.returncode == 0
    assert "plan.yaml  done      6        0       0     0" in status.stdout
    _, below = status.stdout.split("split-digits, so far")
    heading, _, *rows = [line for line in below.splitlines() if line.strip()]
    assert heading.split() == ["strategy", "seeds", "accuracy", "%"]
    cells = [row.rsplit(maxsplit=2) for row in rows]
    assert sorted((strategy.strip(), seeds) for strategy, seeds, _ in cells) == [
        ("ewc (lam=1.0)", "2"), ("ewc (lam=10.0)", "2"), ("naive", "2"),
    ]  # fmt: skip
    assert [float(mean) for *_, mean in cells] == sorted((float(mean) for *_, mean in cells), reverse=True)
    (board,) = json.loads(clbench("compare", "--format", "json").stdout)["leaderboards"]
    assert [entry["seeds"] for entry in board["entries"]] == [[0, 1]] * 3


def test_a_worker_does_what_the_command_line_does(here: Path) -> None:
    """Bit for bit, also from another process and on another thread count's default."""
    assert clbench("sweep", "plan.yaml", "-q", "--threads", "1").returncode == 0
    assert (
        clbench(
            "run", "--strategy", "ewc", "--set", "epochs=1", "--threads", "1", "--results", "alone", "-q"
        ).returncode
        == 0
    )
    (alone_file,) = Path("alone").rglob("s0-*.json")
    swept = store.read(Path("results") / alone_file.relative_to("alone"))
    assert swept.accuracy == store.read(alone_file).accuracy


def test_dry_run_counts_estimates_and_runs_nothing(here: Path) -> None:
    done = clbench("sweep", "plan.yaml", "--dry-run", "--workers", "2")
    assert done.returncode == 0
    assert "6 runs (2 of 8 combinations are excluded or equal to others), 6 left." in done.stderr
    assert "with 2 workers" in done.stderr
    assert not Path("results").exists()


def test_plan_only_prints_what_is_left(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = clbench("sweep", "plan.yaml", "--plan-only")
    lines = done.stdout.splitlines()
    assert len(lines) == 6
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines[3]))
    assert CliRunner().invoke(app, ["run", "--config", "-", "-q"], input=lines[3]).exit_code == 0
    assert len(clbench("sweep", "plan.yaml", "--plan-only").stdout.splitlines()) == 5


def test_ctrl_c_stops_cleanly_and_the_same_command_goes_on(here: Path) -> None:
    base = {"scenario": {"name": "split-digits", "tasks": 2}, "epochs": 20, "batch_size": 4, "strategy": "ewc"}
    write({"base": base, "seeds": 3})
    words = [sys.executable, "-m", "clbench", "sweep", "plan.yaml", "--workers", "2", "--checkpoint", "0.01"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        while not (list(Path("results").rglob("s*.json")) and list(Path("results/.checkpoints").rglob("*.json"))):
            time.sleep(0.01)  # until one run has ended and another is under way, not just about to begin
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to workers too
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    done = len(list(Path("results").rglob("s*.json")))
    assert 0 < done < 3
    assert f"Stopped with {3 - done} of 3 runs left. The same command goes on." in said
    assert "stopped" in clbench("sweep", "status").stdout
    again = clbench("sweep", "plan.yaml", "--workers", "2")
    assert again.returncode == 0, again.stderr
    found = [store.read(file) for file in Path("results").rglob("s*.json")]
    assert len(found) == 3
    assert any(one.environment.get("continued") for one in found), "what was under way was kept"
    assert not list(Path("results/.checkpoints").rglob("*.json"))


def test_two_sweeps_on_one_folder_are_refused(here: Path) -> None:
    with alone(LocalFolder(here / "results"), "other.yaml", here):
        said = refused("plan.yaml")
        assert is_running(LocalFolder(here / "results")) is True
    assert f"A sweep is writing to results already (other.yaml, process {os.getpid()}" in said
    assert is_running(LocalFolder(here / "results")) is False
    assert not list(Path("results").rglob("s*.json"))


def test_a_huge_plan_is_asked_about(here: Path) -> None:
    write(PLAN | {"seeds": 10_000, "random": {"draws": 250, "axes": {"optimizer.lr": [0.1]}}})
    assert "plan.yaml has 10,000,000 runs. If they are meant, add --yes" in refused("plan.yaml")
    assert not Path("results").exists()


@pytest.mark.parametrize(
    ("plan", "words", "message"),
    [
        ({"grid": {"strategy": []}}, [], r"grid.strategy is empty"),
        ({"grid": {"strategy": ["naive"], "epoch": [1]}}, [], "Unknown key 'epoch'. Did you mean 'epochs'"),
        (PLAN, ["--results", "gs://bucket/x"], "Run: pip install gcsfs"),
        (PLAN, ["--results", "nowhere://x"], "no such kind of store"),
        (PLAN, ["--executor", "ray", "--address", "127.0.0.1:9"], "no Ray cluster answers"),
        (PLAN | {"exclude": [{"strategy": "*"}]}, [], "'exclude' leaves no run"),
    ],
)
def test_what_is_refused_starts_nothing(plan: dict[str, Any], words: list[str], message: str, here: Path) -> None:
    write(plan)
    assert message in refused("plan.yaml", *words)
    assert not Path("results").exists()


def test_missing_plans_and_sweeps_are_named(here: Path) -> None:
    assert "cannot be read" in refused("nothing.yaml")
    assert "has no sweep" in refused("status", "--results", "elsewhere")
    assert "declares no strategy" in refused("plan.yaml", "--plugin", str(Path(__file__).with_name("__init__.py")))


def test_help_shows_plans_and_commands() -> None:
    for words in (["sweep", "--help"], ["sweep"], ["sweep", "run", "--help"]):
        done = CliRunner().invoke(app, words)
        assert "clbench sweep plan.yaml --dry-run" in done.output
    assert "status" in CliRunner().invoke(app, ["sweep", "--help"]).output


# Without processes.


class Played(InlineExecutor):
    """Plays what each attempt at a run does: a failure's words, or None."""

    def __init__(self, script: dict[int, list[str | None]]) -> None:
        super().__init__(lambda: False)
        self.script = script

    def work(self, config: RunConfig) -> Any:
        def do(stopping: Stopping) -> Done:
            said = self.script[config.seed].pop(0)
            if said == "full":
                raise UnwritableError("no room")
            if said is not None:
                raise RuntimeError(said)
            return Done("ok", None, 0, 1, 0, 0, 1)

        return do


def conducted(folder: Path, script: dict[int, list[str | None]], retries: int = 1, forgive: bool = False) -> Tally:
    configs = resolve({"strategy": "naive", "epochs": 1, "seeds": sorted(script)})
    sweep = Sweep(configs, Ledger(LocalFolder(folder), "p"), retries, forgive)
    executor = Played(script)
    return sweep.conduct(executor, executor.work, "plan.yaml", lambda _: None, lambda: False)


def test_what_fails_is_tried_again_and_its_reason_kept(tmp_path: Path) -> None:
    tally = conducted(tmp_path, {0: [None], 1: ["bad luck", None], 2: ["a bug", "a bug"]})
    assert len(tally.done) == 2
    (failure,) = tally.failures
    assert failure.attempts == 2
    assert failure.reason.startswith("RuntimeError: a bug (test_sweep.py, line ")
    assert list(Ledger(LocalFolder(tmp_path), "p").failures()) == [failure.run], "those that ended well are forgiven"


def test_what_failed_too_often_is_left_alone_until_asked(tmp_path: Path) -> None:
    conducted(tmp_path, {0: ["a bug", "a bug"]})
    assert len(conducted(tmp_path, {0: []}).failures) == 1, "not tried"
    assert len(conducted(tmp_path, {0: [None]}, retries=2).done) == 1, "one more try was granted"
    conducted(tmp_path, {1: ["a bug", "a bug"]})
    assert len(conducted(tmp_path, {1: [None]}, forgive=True).done) == 1


def test_a_store_that_cannot_be_written_ends_the_sweep(tmp_path: Path) -> None:
    """And costs no run one of its tries."""
    with pytest.raises(UnwritableError, match="no room"):
        conducted(tmp_path, {0: ["full"], 1: [None]})
    assert Ledger(LocalFolder(tmp_path), "p").failures() == {}


def test_progress_and_time_left() -> None:
    tally = Tally(10, skipped=2, done=[Done("ok", None, 0, 1, 0, 0, 1)] * 4, seconds=8.0)
    tally.failures.append(Failure("x", "x", 2, "why"))
    assert tally.left == 3
    assert tally.seconds_left == 6.0
    assert Tally(3).seconds_left is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "–"), (0.31, "0.3 s"), (45, "45 s"), (100, "2 min"), (5000, "1 h 23 min"), (200_000, "2 days 7 h")],
)
def test_durations(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize("stages", [[[0], [1]], [[0, 1]]])
def test_estimates_are_linear_in_steps(stages: list[list[int]]) -> None:
    """A run that costs 2 s and 10 ms a step, over two tasks of 100 samples each, one after another or at once."""

    def run(config: RunConfig) -> store.Result:
        assert config.steps is not None
        result = make_result("naive", seconds=2.0 + 2 * config.steps * 0.01)
        data = result.data.model_copy(update={"train_samples": [100, 100]})
        cost = [
            store.StageCost(
                tasks=tasks, prepare_seconds=0, train_seconds=1, evaluate_seconds=0, samples_per_second=1,
                peak_memory_mib=1, steps=config.steps * len(tasks), epochs=1, reached=None,
                samples=None, memory_bytes=None, state_bytes=None,
            )
            for tasks in stages
        ]  # fmt: skip
        return result.model_copy(update={"data": data, "cost": cost})

    configs = resolve({"strategy": "naive", "epochs": 3, "batch_size": 10, "seeds": 4})
    found = estimate(configs, run)
    assert found.seconds == pytest.approx(4 * (2.0 + 2 * 30 * 0.01))
    assert (found.probed, found.kinds, found.at_most) == (1, 1, False)
    budget = resolve({"strategy": "naive", "steps": 50, "batch_size": 10})
    assert estimate(budget, run).seconds == pytest.approx(2.0 + 2 * 50 * 0.01)
    until = resolve({"strategy": "naive", "until_train_accuracy": 0.9, "max_epochs": 5})
    assert estimate(until, run).at_most


def where_it_runs(stopping: Stopping) -> tuple[int, list[int], str | None]:
    return os.getpid(), sorted(os.sched_getaffinity(0)), os.environ.get("CUDA_VISIBLE_DEVICES")


def dies(stopping: Stopping) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def waits(stopping: Stopping) -> str:
    while not stopping():
        time.sleep(0.01)
    return "stopped"


def outcomes(executor: Executor, count: int) -> list[Any]:
    found: list[Any] = []
    while len(found) < count:
        found += executor.wait(1.0)
    return found


def test_workers_live_on_stay_on_their_cores_and_are_replaced() -> None:
    with LocalExecutor(slots(2, gpus=2)) as executor:
        for number in range(2):
            executor.submit(str(number), where_it_runs)
        first = [outcome.value for outcome in outcomes(executor, 2)]
        executor.submit("again", where_it_runs)
        (again,) = outcomes(executor, 1)
        assert again.value in first, "the same process"
        assert {cores[0] if len(cores) == 1 else 0 for _, cores, _ in first} or len(first[0][1]) > 1
        assert {gpu for _, _, gpu in first} == {"0", "1"}
        executor.submit("crash", dies)
        (crashed,) = outcomes(executor, 1)
        assert crashed.failure == "its process was killed (SIGSEGV)"
        for number in range(2):
            executor.submit(str(number), where_it_runs)
        assert all(outcome.failure is None for outcome in outcomes(executor, 2))
        executor.submit("long", waits)
        time.sleep(0.2)
        executor.stop()
        (stopped,) = outcomes(executor, 1)
        assert stopped.value == "stopped"


def test_slots_share_the_machine() -> None:
    cores = len(os.sched_getaffinity(0))
    assert len(slots(None)) == cores
    assert len(slots(None, gpus=3)) == 3
    assert len(slots(1)[0].cores) == cores
    assert [slot.gpu for slot in slots(4, gpus=2)] == [0, 1, 0, 1]


def test_attempts_tell_errors_apart() -> None:
    def work(error: BaseException) -> Any:
        def do(stopping: Stopping) -> None:
            raise error

        return do

    assert attempt("k", work(UserError("fix it")), bool).failure == "fix it"
    assert attempt("k", work(UnwritableError("full")), bool).hopeless
    assert "KeyError: 'x'" in str(attempt("k", work(KeyError("x")), bool).failure)


def test_a_ledger_keeps_names(tmp_path: Path) -> None:
    (config,) = resolve({"strategy": "ewc+er", "epochs": 1})
    result = make_result("ewc+er").model_copy(update={"run_id": config.run_id})
    assert store.name_of(result) == config.result_name


def test_on_a_store_behind_a_url(here: Path) -> None:
    """fsspec's own file system, through the same door as s3://."""
    url = f"local://{here}/remote"
    done = clbench("sweep", "plan.yaml", "--workers", "1", "--results", url)
    assert done.returncode == 0, done.stderr
    assert len(list(Path("remote").rglob("s*.json"))) == 6
    assert "6 were done before" in clbench("sweep", "plan.yaml", "--results", url).stderr
    assert "done      6" in clbench("sweep", "status", "--results", url).stdout
    assert "6 new" in clbench("results", "import", url, "--results", "copy").stderr


def test_status_says_how_many_configurations_it_leaves_out() -> None:
    found = [Standing(f"ewc (lam={lam})", 2, 0, lam / 100) for lam in range(25, 0, -1)]
    shown = so_far("split-digits", [*found, Standing("naive", 2, 1, None)])
    assert len(shown.rows) == 20
    assert shown.rows[0] == ["ewc (lam=25)", "2", "25.0"]
    assert shown.note == "6 lower configurations are left out; 'clbench compare' shows all."
    few = so_far("split-digits", [found[0], Standing("naive", 2, 1, None)])
    assert few.rows[1] == ["naive", "2", "diverged 1"]
    assert few.note == ""


def test_standings_are_by_scenario_and_by_the_accuracy_that_it_has() -> None:
    runs = [
        run_of(make_result("naive", seed, [[0.5, 0.5], [1.0, 0.5], [0.5, last]])) for seed, last in ((0, 0.7), (1, 0.9))
    ]
    runs += [
        run_of(make_result("ewc", 0, status="diverged")),
        run_of(make_result("ewc", 0, scenario="permuted-digits")),
    ]
    found = standings(runs)
    assert [(one.label, one.seeds, one.diverged) for one in found["split-digits"]] == [("naive", 2, 0), ("ewc", 1, 1)]
    assert found["split-digits"][0].mean == pytest.approx(0.65)
    assert [one.label for one in found["permuted-digits"]] == ["ewc"]
