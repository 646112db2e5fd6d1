"""clbench from Python: the same verbs, keys, errors and numbers as the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import clbench as cl
from clbench import registry, store
from clbench.api.results import Results
from clbench.api.settings import as_keyword, layers_of
from clbench.errors import Remark
from tests.helpers import make_result
from tests.served import clbench, python

SCENARIO = {"name": "split-digits", "samples_per_task": 48}
SMALL: dict[str, Any] = {"scenario": SCENARIO, "model": {"name": "mlp", "widths": [12]}, "epochs": 1, "quiet": True}
TIMES = ("created", "seconds", "cost", "checksum")
EXAMPLES = Path(__file__).parent / "examples"


def told(result: store.Result) -> dict[str, Any]:
    """What a Result says, but for how long things took."""
    content = {key: value for key, value in result.model_dump(mode="json").items() if key not in TIMES}
    content["costs"] = [[cost.steps, cost.epochs, cost.samples, cost.state_bytes] for cost in result.cost]
    return content


# Importing.


def test_importing_is_light_and_telling_needs_no_torch(tmp_path: Path) -> None:
    for seed in range(2):
        store.write(make_result(seed=seed), tmp_path)
    code = (
        "import sys, time\nbegun = time.perf_counter()\nimport clbench as cl\n"
        "assert time.perf_counter() - begun < 0.2 and 'pydantic' not in sys.modules\n"
        f"runs = cl.load({str(tmp_path)!r})\n"
        "assert len(runs) == 2 and str(runs) and str(cl.compare(runs)) and cl.check(runs, runs).passed\n"
        "assert cl.UserError and callable(cl.run) and callable(cl.sweep) and callable(cl.tune)\n"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_verbs_are_there_and_others_are_named_as_missing() -> None:
    with pytest.raises(cl.UserError, match="'exclude' leaves no run"):
        cl.sweep({"base": {"strategy": "naive"}, "exclude": [{"strategy": "naive"}]})
    assert {"run", "sweep", "UserError"} <= set(dir(cl))
    with pytest.raises(AttributeError, match="no attribute 'ru'"):
        _ = cl.ru  # type: ignore[attr-defined]


# One path.


def test_a_run_equals_the_command_lines_bit_for_bit(tmp_path: Path) -> None:
    words = ["run", "--strategy", "ewc", "--seeds", "2", "--set", "strategy.lam=5", "--set", "epochs=2"]
    words += ["--set", "scenario.samples_per_task=48", "--set", "optimizer.lr=0.1", "--results", "line", "--quiet"]
    assert clbench(*words, cwd=tmp_path).returncode == 0
    made = cl.run(
        "ewc",
        {"samples_per_task": 48},
        lam=5,
        epochs=2,
        optimizer={"lr": 0.1},
        seeds=2,
        results=tmp_path / "call",
        quiet=True,
    )
    files = [sorted(file.relative_to(tmp_path / place) for file in (tmp_path / place).rglob("*")) for place in PLACES]
    assert files[0] == files[1]
    read = cl.load(tmp_path / "line")
    assert [told(one) for one in read] == [told(one) for one in made]
    assert [store.read(run.path) for run in made.runs if run.path] == list(made)


PLACES = ("line", "call")


def test_nothing_is_written_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = cl.run("naive", **SMALL)
    assert str(made)
    assert str(cl.compare(made))
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_read_when_resumed(tmp_path: Path) -> None:
    first = cl.run("naive", results=tmp_path, **SMALL)
    again = cl.run("naive", results=tmp_path, resume=True, seeds=2, **SMALL)
    assert again[0] == first[0]
    assert [result.seed for result in again] == [0, 1]


def test_a_config_is_a_mapping_or_a_file_and_keywords_win(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("strategy: {name: ewc, lam: 3}\nscenario: {samples_per_task: 48}\nseeds: [4]\nepochs: 3\n")
    read = cl.run(config=file, epochs=1, quiet=True)
    given = cl.run(
        config={"strategy": {"name": "ewc", "lam": 3}, "seeds": (4,)}, scenario=SCENARIO, epochs=1, quiet=True
    )
    assert read[0].run_id == given[0].run_id
    assert read[0].config["epochs"] == 1


def test_progress_is_on_stderr_and_quiet_is_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    cl.run("naive", **SMALL | {"quiet": False})
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "naive on split-digits, seed 0  stage 5/5" in shown.err
    cl.run("naive", **SMALL)
    assert capfd.readouterr() == ("", "")


# Keywords and errors.


def test_each_kind_of_keyword() -> None:
    units = {"strategy": "ewc+er", "scenario": {"tasks": 5}, "seeds": range(2), "model": None}
    base, chosen, given = layers_of(
        None, units, {"memory": 9, "optimizer": {"lr": 0.1}, "strategy.ewc.lam": 2, "epochs": 3}
    )
    assert base == {}
    assert chosen == {"strategy": "ewc+er", "scenario": {"tasks": 5}, "seeds": [0, 1]}
    assert given == {"strategy": {"memory": 9, "ewc": {"lam": 2}}, "optimizer": {"lr": 0.1}, "epochs": 3}


def test_numbers_of_numpy_and_tuples_are_plain() -> None:
    np = pytest.importorskip("numpy")
    units = {"strategy": "ewc", "seeds": np.arange(2)}
    _, chosen, given = layers_of(None, units, {"lam": np.float32(0.5), "model": {"widths": (np.int64(8),)}})
    assert (chosen["seeds"], given) == ([0, 1], {"strategy": {"lam": 0.5}, "model": {"widths": [8]}})


def test_how_a_key_is_set_in_a_call() -> None:
    assert as_keyword("strategy.ewc.lam", 5) == "**{'strategy.ewc.lam': 5}"
    assert as_keyword("optimizer.lr", 0.1) == "optimizer={'lr': 0.1}"


def test_no_option_of_a_strategy_is_hidden_by_a_parameter_of_run() -> None:
    import inspect

    own = {*inspect.signature(cl.run).parameters} - {"settings"}
    assert not own & {option.name for unit in registry.strategy.listed.values() for option in unit.options}


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "No strategy is named"),
    ({"strategy": "ewk"}, "Unknown strategy 'ewk'. Did you mean 'ewc'?"),
    ({"strategy": "ewc", "lamda": 5}, r"Unknown key 'lamda'. Did you mean 'strategy.lam', as in lam=5\?"),
    ({"strategy": "ewc", "lr": 0.1}, r"Did you mean 'optimizer.lr', as in optimizer={'lr': 0.1}\?"),
    ({"strategy": "ewc", "tasks": 3}, r"'scenario.tasks', as in scenario={'tasks': 3}\?"),
    ({"strategy": "ewc", "nothing": 1}, "Unknown key 'nothing'. Keys are strategy, scenario"),
    ({"strategy": "ewc", "optimizer": {"lrr": 1}}, "Unknown option 'optimizer.lrr'. Did you mean 'lr'?"),
    ({"strategy": "ewc", "lam": -1}, "strategy.lam: expected greater than or equal to 0"),
    ({"strategy": "ewc+l2-init", "lam": 5}, "several of them have it; write strategy.ewc.lam"),
    ({"strategy": "ewc", "scenario": "split-mnits"}, "'mnist'"),
    ({"strategy": "ewc", "scenario": 5}, "scenario: expected a name, or a mapping"),
    ({"strategy": "ewc", "seeds": [0, 0]}, "names a seed twice"),
    ({"strategy": "ewc", "seeds": "many"}, "seeds: expected a number of seeds"),
    ({"strategy": "ewc", "device": "gpu"}, "device: expected one of auto, cpu, cuda, mps, got 'gpu'"),
    ({"strategy": "ewc", "config": "nowhere.yaml"}, "nowhere.yaml cannot be read"),
    ({"strategy": "ewc", "plugin": "nowhere.py"}, "nowhere.py: there is no such file"),
    ({"strategy": "ewc", "results": "/dev/null"}, "/dev/null cannot be written"),
    ({"strategy": "ewc", "resume": True}, "resume: nothing is kept without a folder"),
    ({"strategy": "cold", "tuned": True}, "--tuned: no settings are shipped"),
]


@pytest.mark.parametrize(("call", "words"), WRONG)
def test_errors_are_exceptions_of_one_paragraph(call: dict[str, Any], words: str) -> None:
    with pytest.raises(cl.UserError, match=words) as raised:
        cl.run(**call)
    assert "\n" not in str(raised.value)


def test_a_plugin_may_be_named_twice(tmp_path: Path) -> None:
    file = tmp_path / "twice.py"
    file.write_text(
        '"""Nothing."""\nfrom clbench.registry import strategy\nfrom clbench.strategy import Strategy\n\n\n'
        '@strategy("twice")\nclass Twice(Strategy):\n    """Nothing. You 2026."""\n'
    )
    runs = [cl.run("twice", plugin=file, **SMALL) for _ in range(2)]
    assert runs[0][0].run_id == runs[1][0].run_id


# Results.


def test_results_are_a_sequence_that_knows_its_columns(tmp_path: Path) -> None:
    made = Results.of((make_result(seed=seed), None) for seed in range(3))
    assert len(made) == 3
    assert made[-1].seed == 2
    assert [one.seed for one in made[1:]] == [1, 2]
    assert made["accuracy"] == made["average_accuracy"] == [0.875] * 3
    assert made.mean("seconds") == 2.0
    assert str(made).startswith("split-digits\n3 seeds.")
    with pytest.raises(cl.UserError, match="Did you mean"):
        made["acuracy"]
    store.write(make_result(), tmp_path)
    assert cl.load(tmp_path)[0] == make_result()
    assert (str(Results([])), Results([])._repr_html_()) == ("no runs", "<p>no runs</p>")


def test_a_diverged_run_is_a_status_and_has_no_number() -> None:
    made = cl.run("naive", optimizer={"lr": 1e30}, **SMALL)
    assert made[0].status == "diverged"
    assert made.mean() is None
    assert "1/1 diverged" in str(made)


def test_a_frame_has_a_row_for_each_run_with_settings_and_metrics() -> None:
    made = Results.of((make_result("ewc", seed, options={"lam": 2.0}), None) for seed in range(2))
    table = made.to_frame()
    assert list(table["seed"]) == [0, 1]
    assert table.loc[1, "strategy.lam"] == 2.0
    assert table.loc[0, "optimizer.lr"] == 0.05
    assert table["average_accuracy"].dtype == float


def test_frames_without_pandas_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(cl.UserError, match=r"pip install 'clbench\[frames\]'"):
        Results.of([(make_result(), None)]).to_frame()


# Telling.


@pytest.fixture
def two() -> list[Results]:
    """Fine-tuning and something better, in memory."""
    made = []
    for name, gain in (("naive", 0.0), ("<b>mine</b>", 0.2)):
        rows = [((0.5, 0.5), (0.7, 0.5), (0.5 + gain * (1 + seed / 50), 0.7)) for seed in range(3)]
        made.append(Results.of((make_result(name, seed, rows[seed]), None) for seed in range(3)))
    return made


def test_a_board_of_results_in_memory(two: list[Results]) -> None:
    board = cl.compare(two, against="naive")
    assert str(board).startswith("split-digits\n3 seeds. <b>mine</b> beats fine-tuning (naive)")
    table = board.to_frame().query("metric == 'average_accuracy'").set_index("strategy")
    assert table.loc["<b>mine</b>", "difference"] == pytest.approx(0.1 * 1.02)
    assert table.loc["<b>mine</b>", "stand"] == "better"
    page = board._repr_html_()
    assert "&lt;b&gt;mine" in page
    assert "<b>" not in page
    assert json.loads(board.text("json"))["leaderboards"][0]["scenario"] == "split-digits"
    for picture in ("leaderboard", "matrix"):
        assert board.plot(picture).axes
    with pytest.raises(cl.UserError, match="picture: expected one of leaderboard"):
        board.plot("pie")
    with pytest.raises(cl.UserError, match="ewk"):
        cl.compare(two, against="ewk")


def test_places_of_every_kind_meet_and_a_run_counts_once(two: list[Results], tmp_path: Path) -> None:
    for result in two[0]:
        store.write(result, tmp_path)
    (tmp_path / "torn.json").write_text("{")
    with pytest.warns(Remark, match=r"Left out: .*torn\.json is not a whole JSON file"):
        board = cl.compare([str(tmp_path), *two])
    assert len(board.runs) == 6
    assert len(cl.load(two, strategy="naive")) == 3
    with pytest.raises(cl.UserError, match=r"No Results that match to look at\. There are scenarios split-digits"):
        cl.load(two, scenario="split-mnist")
    with pytest.raises(cl.UserError, match="No Results to look at"):
        cl.compare([])


def test_a_check_of_results_in_memory(two: list[Results]) -> None:
    worse = cl.check(two[1], two[1])
    assert worse
    assert "Passed (statistical): 1 same" in str(worse)
    old = Results.of((make_result("naive", seed), None) for seed in range(3))
    low = Results.of((make_result("naive", seed, ((0.5, 0.5), (0.5, 0.5), (0.1, 0.2))), None) for seed in range(3))
    found = cl.check(old, low, metric="average_accuracy", margin=0.02)
    assert not found.passed
    assert found.cells[0].verdict == "worse"
    assert "<td" in found._repr_html_()
    assert cl.check(old, old, mode="exact").passed
    with pytest.raises(cl.UserError, match="what a run costs cannot be gated"):
        cl.check(old, low, metric="seconds")


# Plans and searches.

PLAN: dict[str, Any] = {
    "base": {key: SMALL[key] for key in ("scenario", "model", "epochs")},
    "grid": {"strategy": ["naive", "l2"]},
}


def test_a_sweep_returns_its_runs_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = cl.sweep(PLAN, workers=1, quiet=True)
    assert [(result.strategy, result.seed) for result in made] == [("naive", 0), ("l2", 0)]
    assert made[0].accuracy == cl.run("naive", **SMALL)[0].accuracy
    assert list(tmp_path.iterdir()) == []


def test_a_program_without_a_guard_may_sweep(tmp_path: Path) -> None:
    (tmp_path / "plain.py").write_text(
        f"import clbench as cl\nprint('begun')\nmade = cl.sweep({PLAN!r}, workers=2, results='out', quiet=True)\n"
        "print(len(made), len(cl.sweep({'base': {'strategy': 'nine'}})) if not made else 'ended')\n"
    )
    done = subprocess.run(
        [sys.executable, "plain.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=True
    )
    assert done.stdout.split() == ["begun", "2", "ended"]
    assert len(cl.load(tmp_path / "out")) == 2


def test_runs_that_fail_are_named() -> None:
    plan = PLAN | {"base": PLAN["base"] | {"strategy": "naive"}, "grid": {"scenario.tasks": [11, 5]}, "retries": 0}
    with pytest.warns(Remark, match="failed: .*tasks"):
        made = cl.sweep(plan, workers=1, quiet=True)
    assert len(made) == 1
    assert len(made.failures) == 1


def test_a_search_returns_a_recipe_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    import optuna

    loud = optuna.logging.get_verbosity()
    found = cl.tune("l2", SCENARIO, tasks=2, space={"strategy.lam": (0.1, 1)}, epochs=1, workers=1, quiet=True)
    assert optuna.logging.get_verbosity() == loud
    assert found.settings["strategy.lam"] in (0.1, 1)
    assert str(found).startswith("chosen: strategy.lam ")
    assert len(found.to_frame()) == len(found.trials) == 2
    assert list(tmp_path.iterdir()) == []
    result = cl.run(config=found.recipe, quiet=True)[0]
    assert result.tuned is not None
    assert len(result.scenario.classes) == 3


# Ctrl-C.

INTERRUPTED = """
import os, signal, sys, threading
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin without one
import clbench as cl
from clbench.strategy import Strategy

class Pressing(Strategy):
    def __init__(self, stage=3):
        super().__init__()
        self.stage = stage
    def before_training_exp(self, learner, **kwargs):
        if learner.stage == self.stage and not os.path.exists("pressed"):
            open("pressed", "w").close()
            os.kill(os.getpid(), signal.SIGINT)

def run(**more):
    return cl.run(Pressing(), {"samples_per_task": 48}, epochs=2, quiet=True, seeds=2, **more)

try:
    run(**FOLDER)
except KeyboardInterrupt as error:
    print("stopped:", error)
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
if FOLDER:
    whole = run()
    rest = run(resume=True, **FOLDER)
    assert [one.accuracy for one in whole] == [one.accuracy for one in rest]
    print("continued", rest[0].environment["continued"], rest[1].environment.get("continued"))
"""


@pytest.mark.parametrize("folder", [{}, {"results": "out"}])
def test_ctrl_c_is_pythons_own_and_leaves_a_checkpoint_where_there_is_a_folder(
    tmp_path: Path, folder: dict[str, str]
) -> None:
    (tmp_path / "stopped.py").write_text(INTERRUPTED.replace("FOLDER", repr(folder)))
    done = python("stopped.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    if folder:
        assert done.stdout.splitlines() == [
            "stopped: Stopped in seed 0. The same call with resume=True goes on.",
            "continued 1 None",
        ]
    else:
        assert done.stdout.splitlines() == ["stopped: "]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["pressed", "stopped.py"]


# Examples.


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_examples_run_and_write_nothing(example: Path, tmp_path: Path) -> None:
    done = python(str(example), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "fine-tuning (naive)" in done.stdout
    assert list(tmp_path.iterdir()) == []
