"""A run that is stopped and continued ends as if nothing had been; for every strategy, bit for bit."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from clbench import store
from clbench.checkpoints.checkpoint import Checkpoints, StoppedError
from clbench.checkpoints.moments import FOLDER, CannotContinueError
from clbench.cli import app
from clbench.config import RunConfig, resolve
from clbench.data.sources import DataPlace
from clbench.engine.run import Machine, complete, run
from clbench.errors import Remark, UserError
from clbench.store import LocalFolder
from tests.helpers import SMALL, config
from tests.served import clbench
from tests.test_strategy_contract import FROZEN, NEEDS, QUICK, RULES, SOON, STRATEGIES

MACHINE = Machine(DataPlace.default(), "cpu", threads=1)
SHORT = {"epochs": 2, "batch_size": 8}  # a dozen steps for each of five tasks
STOPS = (5, 1, 9, 30, 2)  # steps after which a sitting ends: inside tasks, at their first step, tasks later


def never() -> bool:
    return False


def after(steps: int) -> Callable[[], bool]:
    """Say stop from so many steps on."""
    count = itertools.count()
    return lambda: next(count) >= steps


def keeping(folder: Path, stopping: Callable[[], bool] = never, **more: Any) -> Checkpoints:
    return Checkpoints(LocalFolder(folder), minutes=1e6, stopping=stopping, **{"resume": True} | more)


def in_sittings(one: RunConfig, folder: Path, machine: Machine = MACHINE) -> store.Result:
    """Run with stops; each sitting goes on from the last one's checkpoint."""
    for steps in STOPS:
        with pytest.raises(StoppedError):
            run(one, machine, None, keeping(folder, after(steps)))
    return run(one, machine, None, keeping(folder))


def numbers(result: store.Result) -> tuple[Any, ...]:
    """All that a run finds out, and what it cost but for seconds and peaks."""
    measured = {"prepare_seconds", "train_seconds", "evaluate_seconds", "samples_per_second", "peak_memory_mib"}
    counted = [cost.model_dump(exclude=measured) for cost in result.cost]
    return (
        result.accuracy,
        result.online_accuracy,
        result.metrics,
        result.diagnostics,
        counted,
        result.status,
        result.warnings,
    )


def check(one: RunConfig, folder: Path, machine: Machine = MACHINE) -> None:
    whole = run(one, machine)
    found = in_sittings(one, folder, machine)
    assert numbers(found) == numbers(whole)
    assert found.environment["continued"] == len(STOPS)


@pytest.mark.parametrize(
    "name", [name for name in STRATEGIES if name not in (*RULES, *FROZEN)]
)  # too few steps to stop at
def test_every_strategy_goes_on_bit_for_bit(name: str, tmp_path: Path) -> None:
    options = QUICK.get(name, {}) | SOON.get(name, {})
    check(config({"name": name} | options, NEEDS.get(name, {}), SHORT), tmp_path)


OTHERS: dict[str, dict[str, Any]] = {
    "composition": {"strategy": "ewc+er"},
    "adam, cosine": {"strategy": "ewc", "optimizer": {"name": "adam", "schedule": "cosine", "reset": "never"}},
    "momentum": {"strategy": "si-fixed", "optimizer": {"momentum": 0.9, "agc": 0.1}},
    "sam": {"strategy": "l2", "optimizer": {"name": "sam"}},
    "growing": {"strategy": "lwf", "scenario": {"incremental": "class"}, "model": {"classifier": "growing"}},
    "masked": {"strategy": "mas", "scenario": {"incremental": "class"}, "logits": "seen"},
    "domain": {"strategy": "der++", "scenario": {"incremental": "domain"}},
    "convolutions, augmented": {
        "strategy": "ewc-fixed",
        "model": {"name": "lenet"},
        "scenario": {"image_size": 16},
        "augment": "flip+crop",
    },
    "memory, augmented": {"strategy": "der++", "augment": "flip+crop"},
    "the stage's own in memory": {"strategy": {"name": "er", "current": True}},
    "friendly, by a network": {"strategy": {"name": "friendly-training", "by": "network"}},
    "mixed": {"strategy": {"name": "gdumb", "epochs": 3, "cutmix": 0.5}, "augment": "crop"},
    "memory, sharpness-aware": {"strategy": "a-gem+der++", "optimizer": {"name": "sam"}},
    "parity": {"strategy": {"name": "si", "parity": True, "lam": 1e-6}, "optimizer": {"momentum": 0.9}},
    "interpolation with parity": {"strategy": {"name": "rwalk-fixed", "parity": True}, "optimizer": {"momentum": 0.9}},
    "clamped along a schedule": {
        "strategy": {"name": "ewc", "lam": 5000.0, "clamp": True},
        "optimizer": {"schedule": "cosine"},
    },
    "batch norm": {"strategy": "rwalk", "model": {"norm": "batch"}},
    "until it is learnt": {
        "strategy": "er",
        "epochs": None,
        "until_train_accuracy": 0.95,
        "max_epochs": 6,
    },
    "steps": {"strategy": "snr", "epochs": None, "steps": 11},
    "half precision": {"strategy": "ewc", "precision": "bf16"},
    "Avalanche's EWC": {"strategy": {"name": "avalanche.training.plugins.EWCPlugin", "ewc_lambda": 1.0}},
    "Avalanche's LwF": {"strategy": {"name": "avalanche.training.plugins.LwFPlugin"}},
}


@pytest.mark.parametrize("name", OTHERS)
def test_everything_else_goes_on_too(name: str, tmp_path: Path) -> None:
    check(resolve(SMALL, SHORT, OTHERS[name])[0], tmp_path)


def test_diagnostics_go_on(tmp_path: Path) -> None:
    check(config("ewc", SHORT), tmp_path, Machine(DataPlace.default(), "cpu", threads=1, diagnostics=True))


def test_a_plugin_with_batches_of_its_own_goes_on_at_task_boundaries(tmp_path: Path) -> None:
    one = config("avalanche.training.plugins.ReplayPlugin", SHORT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        whole = run(one, MACHINE)
        (tmp_path / "kept").mkdir()
        with pytest.raises(StoppedError):
            run(one, MACHINE, None, keeping(tmp_path, after(5)))
        found = run(one, MACHINE, None, keeping(tmp_path))
    assert numbers(found) == numbers(whole)


def files(folder: Path) -> list[str]:
    return sorted(file.name for file in (folder / FOLDER).rglob("*") if file.is_file())


def test_two_are_kept_at_most_and_none_after_the_end(tmp_path: Path) -> None:
    one = config("ewc", SHORT)
    for steps in (5, 20, 3):
        with pytest.raises(StoppedError):
            complete(one, MACHINE, LocalFolder(tmp_path), None, keeping(tmp_path, after(steps)))
        kept = files(tmp_path)
        assert len(kept) <= 4
        assert len(kept) % 2 == 0, "each has a JSON file and its tensors"
    result, name = complete(one, MACHINE, LocalFolder(tmp_path), None, keeping(tmp_path))
    assert not (tmp_path / FOLDER).exists() or not files(tmp_path)
    assert store.read(tmp_path / name).accuracy == result.accuracy


def test_inside_a_task_by_time(tmp_path: Path) -> None:
    """With no pause between them, there is one for each step, and none of them changes anything."""
    one = config("si", SHORT)
    often = Checkpoints(LocalFolder(tmp_path), minutes=0.0)
    assert numbers(run(one, MACHINE, None, often)) == numbers(run(one, MACHINE))
    assert any(not name.endswith("-000000000.json") for name in files(tmp_path) if name.endswith(".json"))


def test_boundaries_may_be_left_out(tmp_path: Path) -> None:
    run(config("ewc", SHORT), MACHINE, None, Checkpoints(LocalFolder(tmp_path), seconds=1e6))
    assert files(tmp_path) == []


def stopped(one: RunConfig, folder: Path, steps: int = 20) -> None:
    with pytest.raises(StoppedError):
        run(one, MACHINE, None, keeping(folder, after(steps)))


@pytest.mark.parametrize("damage", ["tensors", "json", "no tensors", "empty", "foreign"])
def test_a_damaged_checkpoint_is_passed_over(damage: str, tmp_path: Path) -> None:
    """The one before it is used."""
    one = config("ewc", SHORT)
    whole = run(one, MACHINE)
    stopped(one, tmp_path)
    newest = sorted((tmp_path / FOLDER).rglob("*.json"))[-1]
    tensors = newest.with_suffix(".safetensors")
    match damage:
        case "tensors":
            raw = bytearray(tensors.read_bytes())
            raw[-3] ^= 1
            tensors.write_bytes(raw)
        case "json":
            newest.write_text(newest.read_text().replace('"epoch": ', '"epoch": 1'))
        case "no tensors":
            tensors.unlink()
        case "empty":
            newest.write_bytes(b"")
        case "foreign":
            newest.write_text("[1]")
    assert numbers(run(one, MACHINE, None, keeping(tmp_path))) == numbers(whole)


def test_another_version_is_refused_with_the_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = config("ewc", SHORT)
    stopped(one, tmp_path)
    with pytest.raises(CannotContinueError, match=r"threads is 2 here and 1 there.*leave --resume out"):
        run(one, Machine(DataPlace.default(), "cpu", threads=2), None, keeping(tmp_path))
    monkeypatch.setattr("clbench.checkpoints.moments.FORMAT", 3)
    with pytest.raises(CannotContinueError, match="checkpoint format is 3 here and 2 there"):
        run(one, MACHINE, None, keeping(tmp_path))


def test_another_config_is_refused_with_the_difference(tmp_path: Path) -> None:
    stopped(config("ewc", SHORT), tmp_path)
    other = config({"name": "ewc", "lam": 3.0}, SHORT)
    with pytest.raises(CannotContinueError, match=r"strategy\.lam is 3\.0 here and 10\.0 there"):
        run(other, MACHINE, None, keeping(tmp_path))
    run(config("ewc", SHORT, seed=1), MACHINE, None, keeping(tmp_path))  # another seed is another run
    run(other, MACHINE, None, keeping(tmp_path, resume=False))


def test_a_folder_that_cannot_be_written_costs_the_checkpoints_only(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("a file stands in the way")
    one = config("ewc", SHORT)
    with pytest.warns(Remark, match="goes on without checkpoints"):
        found = run(one, MACHINE, None, keeping(tmp_path, resume=False))
    assert numbers(found) == numbers(run(one, MACHINE))


PLUGIN = '''
import threading
from clbench.registry import strategy
from clbench.strategy import Strategy

@strategy("with-a-lock")
class WithALock(Strategy):
    """Keeps what no file can hold."""
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()
'''


def test_what_cannot_be_kept_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN)
    words = ["run", "--plugin", "mine.py", "--strategy", "with-a-lock", "--set", "epochs=1"]
    done = clbench(*words, cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr.count("goes on without checkpoints") == 1
    assert ".lock is a _thread.lock" in done.stderr


# From the command line.


def test_ctrl_c_keeps_a_checkpoint_and_resume_goes_on(tmp_path: Path) -> None:
    words = ["run", "--strategy", "ewc", "--set", "epochs=20"]
    command = [sys.executable, "-m", "clbench", *words]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "stage 1/5" in line:
                process.send_signal(signal.SIGINT)
                break
        said = process.stderr.read()
    assert process.returncode == 130, said
    assert "Stopped in seed 0. The same command with --resume goes on." in said
    assert files(tmp_path / "results")
    done = clbench(*words, "--resume", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "seed 0  stage 1/5" in done.stderr, "what was done before is told"
    fresh = clbench(*words, "--results", "fresh", "-q", cwd=tmp_path)
    assert fresh.returncode == 0
    for file in (tmp_path / "fresh").rglob("s*.json"):
        found = store.read(tmp_path / "results" / file.relative_to(tmp_path / "fresh"))
        assert numbers(found) == numbers(store.read(file))
    assert files(tmp_path / "results") == []


def test_a_finished_seed_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["run", "--strategy", "naive", "--set", "epochs=1", "-q"]
    assert CliRunner().invoke(app, words).exit_code == 0
    (file,) = Path("results").rglob("s0-*.json")
    before = file.stat().st_mtime_ns
    assert CliRunner().invoke(app, [*words, "--resume", "--seeds", "2"]).exit_code == 0
    assert file.stat().st_mtime_ns == before
    assert len([*Path("results").rglob("s*.json")]) == 2


def test_refusals_are_one_paragraph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stopped(resolve({"strategy": "ewc", "epochs": 3})[0], Path("results"))
    done = CliRunner().invoke(app, ["run", "--strategy", "ewc", "--set", "epochs=4", "--resume", "-q"])
    assert isinstance(done.exception, UserError)
    assert "epochs is 4 here and 3 there" in str(done.exception)


def test_json_of_a_checkpoint_can_be_read_by_people(tmp_path: Path) -> None:
    stopped(config("ewc", SHORT), tmp_path)
    newest = sorted((tmp_path / FOLDER).rglob("*.json"))[-1]
    content = json.loads(newest.read_text())
    assert content["config"]["strategy"]["name"] == "ewc"
    assert content["stage"] == 1
    assert content["identity"]["threads"] == 1
    assert time.time() - newest.stat().st_mtime < 3600
