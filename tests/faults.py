"""What sweeps and runs must survive: each fault is made for real, and what is left is counted.

    python -m tests.faults [--full] [NAME…]

Prints a line of JSON for each fault: how often it was tried, how often everything was whole afterwards, and what was
seen. ``make faults`` runs them in full; the test suite runs them in reduced form.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from clbench import store
from clbench.store import LocalFolder, Result
from tests.served import clbench

HERE = Path(__file__).resolve().parents[1]
PHASES = ("between", "training", "evaluating", "writing")
BASE = {"scenario": "split-digits", "epochs": 4}
GRID = {"strategy": ["naive", "ewc", "si-fixed", "er"], "optimizer.lr": [0.01, 0.05]}


@dataclass(frozen=True)
class Count:
    """How often a fault was tried and survived; ``note`` says what was seen, or why it could not be tried."""

    fault: str
    tried: int
    survived: int
    note: str


def numbers(result: Result) -> Any:
    """What a run finds out."""
    return result.status, result.accuracy, result.online_accuracy, {k: v.value for k, v in result.metrics.items()}


def environment() -> dict[str, str]:
    """This one, and where clbench is."""
    return os.environ | {"PYTHONPATH": str(HERE)}


def plan(folder: Path, **more: Any) -> Path:
    """Write a plan."""
    file = folder / "plan.yaml"
    file.write_text(yaml.safe_dump({"base": BASE, "grid": GRID} | more))
    return file


def results(folder: Path) -> dict[str, Result]:
    """Every Result of a folder, verified: what is torn raises."""
    files = [file for _, file in store.find([folder])] if folder.is_dir() else []
    found = [store.read(file) for file in files]
    assert len({one.run_id for one in found}) == len(found), "a run is there twice"
    return {one.run_id: one for one in found}


# A run, killed and continued.


def killed_runs(kills: int) -> Count:
    """kill -9 of a run at random moments; each run is continued until it ends, and its R must be that of no kill."""
    from clbench.config import resolve
    from clbench.data.sources import DataPlace
    from clbench.engine.run import Machine, run

    machine = Machine(DataPlace.default(None, True), "cpu", threads=1)
    chance = random.Random(0)
    phase = mmap.mmap(-1, 1)  # shared with the children, who write in it what they are doing
    seen: Counter[str] = Counter()
    killed = whole = ended = 0
    strategies = ("ewc", "er", "si-fixed", "continual-backprop", "hare-tortoise", "naive", "lwf", "der++")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        while killed < kills:
            config = resolve(BASE, {"strategy": strategies[ended % len(strategies)], "seeds": [ended]})[0]
            unbroken = numbers(run(config, machine))
            before, sound, lives = killed, True, 0
            file = folder / config.result_name
            while not file.exists():
                child = os.fork()
                if child == 0:
                    _live(config, machine, folder, phase)
                lives += 1  # each a little longer: a network measured after a task has no steps to be kept between
                if _dies(child, chance.uniform(0.01, 0.5) * (1 + lives / 20), phase, seen):
                    killed += 1
                sound = sound and (not file.exists() or numbers(store.read(file)) == unbroken)
            sound = sound and numbers(store.read(file)) == unbroken
            whole += killed - before if sound else 0
            ended += 1
    where = ", ".join(f"{seen[name]} while {name}" for name in PHASES)
    return Count(
        "kill -9 of a run", killed, whole, f"{ended} runs; {where}; R equal bit for bit, no Result torn or lost"
    )


def _live(config: Any, machine: Any, folder: Path, phase: mmap.mmap) -> None:
    """A child: run, or go on, with a checkpoint every few steps; it says what it is doing."""
    from clbench.checkpoints import checkpoint
    from clbench.engine import learner, run, stages

    def during(owner: Any, name: str, number: int) -> None:
        inner = getattr(owner, name)

        def wrapped(*given: Any, **named: Any) -> Any:
            before, phase[0] = phase[0], number
            try:
                return inner(*given, **named)
            finally:
                phase[0] = before

        setattr(owner, name, wrapped)

    try:
        during(learner.ResidentLearner, "fit", 1)
        during(stages.Stages, "_row", 2)
        during(checkpoint.Keeper, "write", 3)
        during(store, "write_to", 3)
        phase[0] = 0
        place = LocalFolder(folder)
        run.complete(config, machine, place, None, checkpoint.Checkpoints(place, minutes=0.03 / 60, resume=True))
        os._exit(0)
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(1)


def _dies(child: int, seconds: float, phase: mmap.mmap, seen: Counter[str]) -> bool:
    """Kill a child after so many seconds; False if it had ended well before."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            assert os.waitstatus_to_exitcode(status) == 0, "a continued run failed"
            return False
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    seen[PHASES[phase[0]]] += 1
    return True


# A sweep, killed and continued.


def killed_sweeps(kills: int) -> Count:
    """kill -9 of a sweep and, by that, of its workers; the same command goes on until all is done."""
    chance, seeds = random.Random(1), 1 if kills < 5 else 10
    done_between = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        file = plan(folder, seeds=seeds)
        words = [sys.executable, "-m", "clbench", "sweep", str(file), "--workers", "2", "-q"]
        survived = 0
        for _ in range(kills):
            for log in folder.rglob("workers.log"):
                log.unlink()
            process = subprocess.Popen(words, cwd=folder, env=environment(), start_new_session=True)
            _wait_for(lambda: list(folder.rglob("workers.log")) != [], 60)  # workers have imported and begin
            time.sleep(chance.uniform(0.0, 2.0))
            process.kill()
            process.wait()
            gone = _wait_for(lambda session=process.pid: not _group(session), 10)  # type: ignore[misc]
            done_between.append(len(results(folder / "results")))
            survived += gone
        done = clbench("sweep", str(file), "--workers", "2", cwd=folder)
        assert done.returncode == 0, done.stderr
        found = results(folder / "results")
        alone = clbench("sweep", str(file), "--workers", "1", "--results", "alone", "-q", cwd=folder)
        assert alone.returncode == 0, alone.stderr
        expected = results(folder / "alone")
        same = {run: numbers(one) for run, one in found.items()} == {run: numbers(one) for run, one in expected.items()}
    survived = survived if same and len(found) == 8 * seeds else 0
    between = ", ".join(map(str, done_between))
    return Count(
        "kill -9 of a sweep", kills, survived, f"{8 * seeds} runs; done at each kill: {between}; no worker outlived it"
    )


def _group(session: int) -> list[int]:
    """The living processes of a session."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(entry.name))
    return found


def _wait_for(what: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.02)
    return False


# Workers that die, configurations that fail.

PLUGINS = '''
import os, pathlib, signal
from clbench.registry import strategy
from clbench.strategy import Strategy

HERE = pathlib.Path(__file__).parent

def first_time(name):
    flag = HERE / name
    if flag.exists():
        return False
    flag.write_text("")
    return True

@strategy("segfault-once")
class SegfaultOnce(Strategy):
    """Dies of a segmentation fault, the first time."""
    def after_training_exp(self, learner, **kwargs):
        if first_time("segfault"):
            os.kill(os.getpid(), signal.SIGSEGV)

@strategy("hungry-once")
class HungryOnce(Strategy):
    """Wants more memory than there is, the first time: the system kills it."""
    def after_training_exp(self, learner, **kwargs):
        if first_time("hungry"):
            group = os.environ.get("CLBENCH_FAULT_GROUP")
            if not group:
                os.kill(os.getpid(), signal.SIGKILL)
            pathlib.Path(group, "cgroup.procs").write_text(str(os.getpid()))
            self.eaten = [bytearray(os.urandom(1) * 2**26) for _ in range(64)]

@strategy("segfault-always")
class SegfaultAlways(Strategy):
    """Dies whenever it is tried."""
    def after_training_exp(self, learner, **kwargs):
        os.kill(os.getpid(), signal.SIGSEGV)

@strategy("poisoned")
class Poisoned(Strategy):
    """Raises."""
    def after_training_exp(self, learner, **kwargs):
        raise ZeroDivisionError("a bug of its own")
'''


def dying_workers(seeds: int) -> Count:
    """Segmentation faults, the out-of-memory killer and a config that raises, among good ones."""
    names = ["naive", "segfault-once", "hungry-once", "segfault-always", "poisoned", "ewc"]
    with tempfile.TemporaryDirectory() as place, _small_group() as group:
        folder = Path(place)
        (folder / "faulty.py").write_text(PLUGINS)
        file = plan(folder, grid={"strategy": names}, seeds=seeds)
        words = ["sweep", str(file), "--plugin", "faulty.py", "--workers", "2"]
        if group:
            os.environ["CLBENCH_FAULT_GROUP"] = str(group)
        done = clbench(*words, cwd=folder)
        os.environ.pop("CLBENCH_FAULT_GROUP", None)
        found = Counter(one.strategy for one in results(folder / "results").values())
        expected = Counter(dict.fromkeys(("naive", "segfault-once", "hungry-once", "ewc"), seeds))
        told = all(word in done.stderr for word in ("SIGSEGV", "ZeroDivisionError: a bug of its own (faulty.py, line"))
        status = clbench("sweep", "status", cwd=folder)
        told = told and "segfault-always" in status.stderr
        again = clbench(*words, cwd=folder)
        once = "of 12 runs" if seeds == 2 else f"of {6 * seeds} runs"
        good = found == expected and done.returncode == again.returncode == 1 and told and once in again.stderr
    killer = "the system's out-of-memory killer" if group else "SIGKILL, as the out-of-memory killer sends it"
    tried = 6 * seeds
    return Count(
        "workers that die", tried, tried if good else 0, f"segmentation faults, {killer}, a config that raises"
    )


@contextmanager
def _small_group() -> Iterator[Path | None]:
    """A control group with little memory, where the system has such and lets us."""
    for parent, limit in (
        (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
        (Path("/sys/fs/cgroup"), "memory.max"),
    ):
        group = parent / f"clbench-fault-{os.getpid()}"
        try:
            group.mkdir()
            (group / limit).write_text(str(700 * 2**20))
        except OSError:
            if group.is_dir():
                group.rmdir()
            continue
        try:
            yield group
        finally:
            _wait_for(lambda: not (group / "cgroup.procs").read_text(), 5)  # noqa: B023
            group.rmdir()
        return
    yield None


# The store.


def many_writers(each: int) -> Count:
    """8 processes write to one folder, some the same runs, while another reads it with its index."""
    from tests.helpers import make_result

    made = [make_result("naive", seed, settings={"lam": lam}) for seed in range(each) for lam in (1.0, 2.0)]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        children = []
        for number in range(8):
            child = os.fork()
            if child == 0:
                for result in made if number < 2 else made[number::8]:
                    store.write(result, folder)
                os._exit(0)
            children.append(child)
        readings = 0
        while children:
            results(folder)
            readings += 1
            children = [child for child in children if os.waitpid(child, os.WNOHANG)[0] == 0]
        found = results(folder)
        leftovers = [file for file in folder.rglob(".*") if file.is_file()]
    good = set(found) == {one.run_id for one in made} and not leftovers
    return Count("8 processes on one store", 8, 8 if good else 0, f"{len(made)} runs, read {readings} times meanwhile")


@contextmanager
def _small_disk(megabytes: int) -> Iterator[Path | None]:
    """A file system of a few megabytes, where we may make one."""
    place = Path(tempfile.mkdtemp())
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", place], capture_output=True)
    try:
        yield place if made.returncode == 0 else None
    finally:
        if made.returncode == 0:
            subprocess.run(["umount", "-l", place], check=True)
        shutil.rmtree(place, ignore_errors=True)


def full_disk(_: int) -> Count:
    """The disk fills up in the middle of a sweep; with room, the same command goes on."""
    with tempfile.TemporaryDirectory() as place, _small_disk(2) as disk:
        if disk is None:
            return Count("full disk", 0, 0, "no file system could be mounted here (it takes root)")
        folder, target = Path(place), disk / "results"
        file = plan(folder, seeds=3)
        ballast = disk / "ballast"
        ballast.write_bytes(b"x" * (2 * 2**20 - 60 * 1024))  # room for a few Results
        words = ["sweep", str(file), "--workers", "2", "--results", str(target)]
        stopped = clbench(*words, cwd=folder)
        early = len(results(target))
        ballast.unlink()
        done = clbench(*words, cwd=folder)
        good = stopped.returncode == 2 and "No space left" in stopped.stderr and "Traceback" not in stopped.stderr
        good = good and early < 24 and done.returncode == 0 and len(results(target)) == 24
    return Count("full disk", 1, int(good), f"{early} of 24 runs were written before, all after there was room")


def read_only(_: int) -> Count:
    """A store that cannot be written is refused before anything is trained; it can still be read."""
    with tempfile.TemporaryDirectory() as place, _small_disk(4) as disk:
        if disk is None:
            return Count("read-only store", 0, 0, "no file system could be mounted here (it takes root)")
        folder, target = Path(place), disk / "results"
        file = plan(folder, grid={"strategy": ["naive"]})
        words = ["sweep", str(file), "--results", str(target), "-q"]
        assert clbench(*words, cwd=folder).returncode == 0
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        (folder / "plan.yaml").write_text(yaml.safe_dump({"base": BASE | {"strategy": "ewc"}}))
        refused = [
            clbench(*words, cwd=folder),
            clbench("run", "--results", str(target), "--strategy", "l2", cwd=folder),
        ]
        good = all(one.returncode == 2 and "cannot be written" in one.stderr for one in refused)
        good = good and not any("Traceback" in one.stderr for one in refused)
        readable = [clbench("compare", str(target), cwd=folder), clbench("sweep", "status", *words[2:4], cwd=folder)]
        good = good and all(one.returncode == 0 for one in readable)
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    return Count("read-only store", 2, 2 * int(good), "refused before training; compare and status still read it")


def clock_back(_: int) -> Count:
    """The clock goes back by days while a sweep runs; files are dated in the past and in the future."""
    script = """
import sys, time
real, calls = time.time, [0]
def earlier():
    calls[0] += 1
    return real() - 86400 * calls[0]
time.time = earlier
from clbench.cli import main
sys.exit(main())
"""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        file = plan(folder)
        words = [sys.executable, "-c", script, "sweep", str(file), "--workers", "2"]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, env=environment())
        found = results(folder / "results")
        for number, name in enumerate(store.find([folder / "results"])):
            os.utime(name[1], (10**9, 10**9) if number % 2 else (4 * 10**9, 4 * 10**9))
        again = clbench("sweep", str(file), cwd=folder)
        status = clbench("sweep", "status", cwd=folder)
        good = done.returncode == again.returncode == status.returncode == 0 and len(found) == 8
        good = good and "8 were done before" in again.stderr
    return Count("clock going back", 1, int(good), "a day at each look at it; nothing was run twice")


def lost_node(seeds: int) -> Count:
    """A Ray cluster of two nodes on this machine; one is taken away in the middle of a sweep."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        node = cluster.add_node(num_cpus=1)
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            file = plan(folder, seeds=seeds)
            words = ["sweep", str(file), "--executor", "ray", "--address", cluster.address]
            with subprocess.Popen(
                [sys.executable, "-m", "clbench", *words],
                cwd=folder,
                env=environment(),
                stderr=subprocess.PIPE,
                text=True,
            ) as process:
                _wait_for(lambda: len(results(folder / "results")) >= 2 * seeds, 120)
                before = len(results(folder / "results"))
                cluster.remove_node(node, allow_graceful=False)
                said = process.communicate(timeout=300)[1]
            found = results(folder / "results")
            board = clbench("compare", "--format", "json", cwd=folder)
            entries = [entry for one in json.loads(board.stdout)["leaderboards"] for entry in one["entries"]]
            good = process.returncode == 0 and len(found) == 8 * seeds and before < len(found)
            good = good and [len(entry["seeds"]) for entry in entries] == [seeds] * 8
    finally:
        cluster.shutdown()
    note = f"removed after {before} of {8 * seeds} runs; each is in the leaderboard once"
    return Count("a node of two is lost (Ray)", 1, int(good), note if good else said[-2000:])


# name → fault, size in reduced form, size in full
FAULTS: dict[str, tuple[Callable[[int], Count], int, int]] = {
    "killed-runs": (killed_runs, 6, 200),
    "killed-sweeps": (killed_sweeps, 1, 20),
    "dying-workers": (dying_workers, 1, 5),
    "many-writers": (many_writers, 20, 500),
    "full-disk": (full_disk, 1, 1),
    "read-only": (read_only, 1, 1),
    "clock-back": (clock_back, 1, 1),
    "lost-node": (lost_node, 1, 6),
}


def main() -> None:
    """Run faults and print what they left; exit code 1 if anything was not survived."""
    names = [word for word in sys.argv[1:] if word != "--full"] or list(FAULTS)
    whole = True
    for name in names:
        fault, reduced, full = FAULTS[name]
        count = fault(full if "--full" in sys.argv else reduced)
        whole = whole and count.survived == count.tried
        print(json.dumps(asdict(count), ensure_ascii=False), flush=True)
    sys.exit(0 if whole else 1)


if __name__ == "__main__":
    main()
