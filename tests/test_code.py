"""A run is its config and its code: an edited plugin, another version, another package are other runs, told apart."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from clbench import registry, store
from clbench.analysis.check import Rules, check
from clbench.analysis.codes import latest, remark
from clbench.analysis.compare import leaderboards
from clbench.analysis.runs import Run, run_of
from clbench.checkpoints.checkpoint import Checkpoints, Keeper
from clbench.checkpoints.moments import CannotContinueError, Moment
from clbench.checkpoints.state import Tree
from clbench.cli import app
from clbench.config import RunConfig, resolve
from clbench.data.sources import DataPlace
from clbench.engine import pretrain
from clbench.engine.run import Machine, run
from clbench.errors import UserError
from clbench.store import Code, LocalFolder
from clbench.sweeps import tune
from clbench.sweeps.executor import InlineExecutor
from clbench.sweeps.space import Tune
from tests.helpers import SMALL, make_result
from tests.served import clbench

PLUGIN = '''
from pathlib import Path
from clbench.registry import strategy
from clbench.strategy import Strategy, gradients, named_weights, values

@strategy("shrinking")
class Shrinking(Strategy):
    """Pull every weight towards zero. You 2026 (arXiv:2601.00001)."""
    def before_update(self, learner, **kwargs):
        weights = list(named_weights(learner.model).values())
        for gradient, weight in zip(gradients(weights), values(weights)):
            gradient.add_(weight, alpha=1.5)
'''
EDITED = PLUGIN.replace("alpha=1.5", "alpha=0.0")  # as long as before, perhaps within the same second
RESTLESS = f"""{PLUGIN}
    def after_training(self, learner, **kwargs):
        file = Path(__file__)
        if not file.read_text().endswith("# edited"):
            file.write_text(file.read_text() + "# edited")
"""
SETTINGS = {"epochs": 1, "scenario": {"samples_per_task": 48}, "model": {"widths": [12]}}
QUICK = ["--set", "epochs=1", "--set", "scenario.samples_per_task=48", "--set", "model.widths=[12]"]
WORDS = ["--strategy", "shrinking", "--plugin", "shrinking.py", *QUICK]

REGISTRIES = registry.REGISTRIES.values()


@pytest.fixture
def anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forget_plugins: Callable[[], None]) -> Callable[[], None]:
    """A function after which plugins are unknown, as they are to a process that begins; in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return forget_plugins


def said(*words: str) -> str:
    """What a command says to people; its error, if it ends with one."""
    done = CliRunner().invoke(app, list(words))
    if isinstance(done.exception, UserError):
        return str(done.exception)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.stderr + done.stdout


def found() -> list[store.Result]:
    """The Results here, the oldest first."""
    files = sorted(Path("results").rglob("s*.json"), key=lambda file: file.stat().st_mtime_ns)
    return [store.read(file) for file in files if ".sweeps" not in file.parts]


@pytest.fixture
def firsts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The units of these tests at version 1, whatever they are today."""
    for kind, name in UNITS:
        of_version(registry.REGISTRIES[kind], name, 1, monkeypatch)


def of_version(kind: registry.Registry, name: str, version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Raise a unit's version for a test."""
    monkeypatch.setitem(kind._declared, name, replace(kind.load(name), version=version, concerns=None))


# What a run is.

UNITS = [("strategy", "ewc"), ("strategy", "er"), ("scenario", "split"), ("model", "mlp")]


@pytest.mark.usefixtures("firsts")
@pytest.mark.parametrize(("kind", "name"), UNITS)
def test_a_version_above_1_is_another_run(kind: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: Any = SMALL | {"strategy": "ewc+er"}
    (before,) = resolve(asked)
    assert before.code[f"{kind} {name}"] == Code()
    assert before.run_id == RunConfig.model_validate(before.model_dump()).run_id, "the first version says nothing"
    of_version(registry.REGISTRIES[kind], name, 2, monkeypatch)
    (after,) = resolve(asked)
    assert after.run_id != before.run_id
    assert after.model_dump() == before.model_dump(), "a version is no setting"
    result = run(after, Machine(DataPlace.default()))
    assert "code" not in result.config
    assert result.code[f"{kind} {name}"].version == 2
    assert result.code.keys() == {"strategy ewc", "strategy er", "scenario split", "model mlp"}
    assert result.run_id == RunConfig.model_validate(result.config | {"code": result.code}).run_id == after.run_id
    with pytest.raises(UserError, match=f"code of {kind} {name} has changed .*version 1 then, version 2 now"):
        run(before, Machine(DataPlace.default()))


def test_code_is_nothing_to_be_given() -> None:
    with pytest.raises(UserError, match="Unknown key 'code'"):
        resolve({"strategy": "naive", "code": {}})


def test_a_class_by_import_path_is_known_by_package_and_source() -> None:
    (config,) = resolve({"strategy": {"name": "avalanche.training.plugins.EWCPlugin", "ewc_lambda": 1}})
    code = config.code["strategy avalanche.training.plugins.EWCPlugin"]
    assert code.source == "avalanche-lib 0.6.0"
    assert code.sha256 is not None
    assert str(code) == f"avalanche-lib 0.6.0, code {code.sha256[:12]}"
    newer = config.code | {"strategy avalanche.training.plugins.EWCPlugin": code.model_copy(update={"source": "x 2"})}
    assert config.model_copy(update={"code": newer}).run_id != config.run_id


def test_an_installed_package_is_known_by_its_version_and_source(
    anew: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "theirs-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.5\n")
    (info / "top_level.txt").write_text("theirs\n")
    (info / "entry_points.txt").write_text("[clbench.strategies]\nshrinking = theirs\n")
    (tmp_path / "theirs.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    anew()
    (config,) = resolve({"strategy": "shrinking"})
    assert config.code["strategy shrinking"].source == "theirs 1.5"
    config.check_code()
    (tmp_path / "theirs.py").write_text(EDITED)
    with pytest.raises(UserError, match=r"strategy shrinking \(.*theirs\.py\) has changed since this command began"):
        config.check_code()
    anew()
    (tmp_path / "theirs.py").write_text(f"{PLUGIN}\nraise ImportError('no driver')")
    monkeypatch.delitem(sys.modules, "theirs")
    with pytest.raises(UserError, match=r"theirs\.py, line \d+ raises ImportError when it is imported: no driver"):
        resolve({"strategy": "shrinking"})


def test_a_file_that_was_renamed_is_the_same_code() -> None:
    one, other = (Code(source=name, sha256="a" * 64) for name in ("mine.py", "yours.py"))
    assert one.identity == other.identity == {"sha256": "a" * 64}
    assert str(one) == str(other) == f"code {'a' * 12}"


# An edited plugin, as a user meets it.


def test_an_edited_plugin_is_run_anew(anew: Callable[[], None]) -> None:
    file = Path("shrinking.py")
    file.write_text(PLUGIN)
    assert clbench("run", *WORDS, "--resume").returncode == 0
    said("run", *WORDS, "--resume")
    assert len(found()) == 1, "the same code is not run again"
    file.write_text(EDITED)
    assert clbench("run", *WORDS, "--resume").returncode == 0
    old, new = found()
    assert old.config == new.config
    assert old.accuracy != new.accuracy
    assert [result.code["strategy shrinking"].source for result in (old, new)] == ["shrinking.py"] * 2

    table = said("compare", "--format", "csv")
    assert "shrinking," in table
    assert '"shrinking, other code"' in table
    assert "Older code stands beside newer, in rows of its own: shrinking, code" in table
    command = shlex.split(table.partition("for instance: clbench ")[2].splitlines()[0])
    assert "removed 1 runs" in said(*command, "--yes")
    assert [one.run_id for one in found()] == [new.run_id]


def test_a_sweep_runs_an_edited_plugin_anew(anew: Callable[[], None]) -> None:
    Path("shrinking.py").write_text(PLUGIN)
    Path("plan.yaml").write_text(json.dumps({"base": {"strategy": "shrinking"} | SETTINGS}))
    words = ["sweep", "plan.yaml", "--plugin", "shrinking.py", "--workers", "1"]
    assert "1 of 1 runs are in results" in said(*words)
    anew()
    Path("shrinking.py").write_text(EDITED)
    assert "done before" not in said(*words)
    old, new = found()
    assert old.accuracy != new.accuracy


def test_a_plugin_that_changes_between_two_seeds_is_refused(anew: Callable[[], None]) -> None:
    Path("shrinking.py").write_text(RESTLESS)
    text = said("run", *WORDS, "--seeds", "2")
    assert "The code of strategy shrinking (" in text
    assert "shrinking.py) has changed since this command began. What is written stays" in text
    assert [one.seed for one in found()] == [0]
    anew()
    assert "wrote" in said("run", *WORDS, "--seeds", "2", "--resume")
    assert sorted(one.seed for one in found()) == [0, 0, 1]


def test_a_plugin_that_changes_in_a_sweep_fails_its_runs(anew: Callable[[], None]) -> None:
    Path("shrinking.py").write_text(RESTLESS)
    Path("plan.yaml").write_text(json.dumps({"base": {"strategy": "shrinking"} | SETTINGS, "seeds": 2, "retries": 0}))
    words = ["sweep", "plan.yaml", "--plugin", "shrinking.py", "--workers", "1"]
    assert "has changed since this command began" in said(*words)
    assert [one.seed for one in found()] == [0]
    anew()
    assert "2 of 2 runs are in results" in said(*words)
    assert "failed:" not in said("sweep", "status"), "what failed was other runs"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\ndef (", "line 14 cannot be read as Python: invalid syntax"),
        ("\nreturn 5", "line 14 cannot be read as Python: 'return' outside function"),
        (
            "\nimport nowhere.at_all",
            "line 14 raises ModuleNotFoundError when it is imported: No module named 'nowhere'",
        ),
        ("\ndef f():\n    1 / 0\nf()", "line 15 raises ZeroDivisionError when it is imported: division by zero"),
        ("\nraise SystemExit('bye')", "line 14 raises SystemExit when it is imported: bye"),
    ],
)
def test_a_plugin_that_cannot_be_loaded(anew: Callable[[], None], text: str, words: str) -> None:
    Path("shrinking.py").write_text(PLUGIN + text)
    Path("plan.yaml").write_text(json.dumps({"base": {"strategy": "shrinking"}}))
    plugin = ["--plugin", "shrinking.py"]
    commands = [["run", *WORDS], ["sweep", "plan.yaml", "--plan-only", *plugin]]
    if "def (" in text:
        commands += [["list", "strategies", *plugin], ["describe", "strategy", "shrinking", *plugin]]
    for command in commands:
        for _ in range(2):  # a half-made module is not taken for a whole one
            message = said(*command)
            assert f"shrinking.py, {words}" in message
            assert len(message.splitlines()) == 1
            registry.strategy._plugin_files.clear()
            for kind in REGISTRIES:
                kind.__dict__.pop("listed", None)


def test_a_plugin_has_its_own_future_imports_alone(anew: Callable[[], None]) -> None:
    Path("shrinking.py").write_text(f"{PLUGIN}\ndef kind(x: int): pass\n")
    registry.add_plugin(Path("shrinking.py"))
    resolve({"strategy": "shrinking"})
    assert sys.modules["clbench_plugin_shrinking"].kind.__annotations__ == {"x": int}


def test_two_plugins_of_one_file_name(anew: Callable[[], None]) -> None:
    for folder, name in (("a", "shrinking"), ("b", "growing")):
        Path(folder).mkdir()
        Path(folder, "mine.py").write_text(PLUGIN.replace('"shrinking"', f'"{name}"'))
        registry.add_plugin(Path(folder, "mine.py"))
    with pytest.raises(UserError, match="has the same file name"):
        resolve({"strategy": "shrinking+growing"})


def test_a_plugin_ends_in_py(anew: Callable[[], None]) -> None:
    Path("shrinking.txt").write_text(PLUGIN)
    with pytest.raises(UserError, match=r"which ends in \.py"):
        registry.add_plugin(Path("shrinking.txt"))


# What is kept beside Results.


@pytest.mark.usefixtures("firsts")
def test_a_checkpoint_of_other_code_is_refused(tmp_path: Path) -> None:
    (mine,) = resolve({"strategy": "ewc"})
    theirs = mine.model_copy(update={"code": mine.code | {"strategy ewc": Code(version=2)}})
    folder = LocalFolder(tmp_path)
    keeper = Keeper(theirs, {}, Checkpoints(folder))
    keeper.write(1, 0, lambda: Tree({}, [], {}), {})
    with pytest.raises(CannotContinueError, match="strategy ewc is version 1 here and version 2 there"):
        Keeper(mine, {}, Checkpoints(folder, resume=True)).read()
    boundary, _ = Keeper(theirs, {}, Checkpoints(folder, resume=True)).read()
    assert isinstance(boundary, Moment)


@pytest.mark.usefixtures("firsts")
def test_a_study_of_other_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Tune.model_validate({"tasks": 2, "space": {"strategy.lam": [1.0, 2.0]}})
    seen: list[RunConfig] = []

    def fake(config: RunConfig, *_: Any) -> store.Result:
        seen.append(config)
        of_version(registry.strategy, "ewc", 2, monkeypatch)  # a worker that begins later, after an edit
        return make_result("ewc")

    def search() -> None:
        layers: list[Any] = [{"strategy": "ewc"}]
        tune.search(layers, asked, tmp_path / "a.study.json", InlineExecutor(bool), fake, lambda *_: None, bool)

    search()
    assert [config.code["strategy ewc"] for config in seen] == [Code()] * 2, "a run of a trial refuses other code"
    with pytest.raises(UserError, match="of other settings, or of other code"):
        search()


def test_pretrained_weights_are_those_of_a_models_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrain, "_train", lambda *_: {"weight": torch.zeros(1)})
    monkeypatch.setenv("CLBENCH_CACHE", str(tmp_path))
    (config,) = resolve({"strategy": "naive", "pretrain": "digits"})
    newer = {unit: config.code | {unit: Code(version=2)} for unit in ("strategy naive", "model mlp")}
    for codes, files in ((config.code, 1), (newer["strategy naive"], 1), (newer["model mlp"], 2)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("warnings.warn", lambda *_, **__: None)
            pretrain.pretrained(config.model_copy(update={"code": codes}), DataPlace.default(), lambda *_: None)  # type: ignore[arg-type]
        assert len(list(tmp_path.rglob("pretrained/*.safetensors"))) == files


# Telling them apart.


def runs(strategy: str, code: dict[str, Code] | None = None, *, day: int = 1, seeds: int = 3, **more: Any) -> list[Run]:
    """Runs of a strategy by code, made on a day of January."""
    return [
        run_of(
            make_result(strategy, seed, created=f"2026-01-{day:02}T00:00:00+00:00", **more).model_copy(
                update={"run_id": f"{seed}{code}{more}", "code": code or {}}
            )
        )
        for seed in range(seeds)
    ]


def plugin(letter: str) -> dict[str, Code]:
    return {"strategy shrink": Code(source="mine.py", sha256=letter * 64)}


def version(number: int) -> dict[str, Code]:
    return {"strategy rwalk": Code(version=number)}


@pytest.mark.parametrize(
    ("given", "labels"),
    [
        (runs("shrink", plugin("a")) + runs("shrink", plugin("b"), day=2), {"shrink", "shrink, other code"}),
        (
            runs("shrink", plugin("a")) + runs("shrink", plugin("b"), day=3) + runs("shrink", plugin("c"), day=2),
            {"shrink", f"shrink, code {'a' * 12}", f"shrink, code {'c' * 12}"},
        ),
        (runs("shrink") + runs("shrink", plugin("a"), day=2), {"shrink", "shrink, code not recorded"}),
        (runs("rwalk", day=3) + runs("rwalk", version(2)), {"rwalk", "rwalk, version 1"}),
        (
            runs("rwalk", options={"lam": 1}) + runs("rwalk", version(2), options={"lam": 2}),
            {"rwalk (lam=2)", "rwalk, version 1 (lam=1)"},
        ),
        (runs("rwalk", version(1)) + runs("rwalk"), {"rwalk"}),
        (
            runs("naive") + runs("naive", {"model mlp": Code(version=2)}, day=2),
            {"naive", "naive, version 1 of mlp"},
        ),
        (
            runs("lwf+rwalk") + runs("lwf+rwalk", version(2), day=2),
            {"lwf+rwalk", "lwf+rwalk, lwf: version 1; rwalk: version 1"},
        ),
    ],
)
def test_rows_of_other_code_are_told_apart_and_never_pooled(given: list[Run], labels: set[str]) -> None:
    (board,) = leaderboards(given)
    assert {entry.label for entry in board.entries} == labels
    count = sum(len(entry.seeds) for entry in board.entries)
    assert count == len(given)


def test_scenarios_of_other_code_share_no_board() -> None:
    codes = [{"scenario spiral": Code(source="mine.py", sha256=letter * 64)} for letter in "ab"]
    boards = leaderboards(runs("naive", codes[0]) + runs("naive", codes[1]))
    assert sorted(board.setting for board in boards) == [f"scenario code code {letter * 12}" for letter in "ab"]


def test_old_code_in_a_folder_is_said_in_one_sentence() -> None:
    assert remark(runs("rwalk", version(2)) + runs("naive")) is None
    text = str(remark(runs("rwalk", day=3) + runs("rwalk", version(2))))
    assert text.startswith("Older code stands beside newer, in rows of its own: rwalk, version 1 (newest: version 2).")
    assert text.endswith("clbench results rm --strategy 'rwalk' --where 'code.strategy=version 1'")
    side_by_side = [replace(one, source="old") for one in runs("rwalk")] + runs("rwalk", version(2))
    assert remark(side_by_side) is None, "folders side by side are meant to be compared"


def test_a_published_number_is_judged_by_the_newest_code() -> None:
    old, new = runs("rwalk", day=3), runs("rwalk", version(2), seeds=2)
    assert latest(old + new) == new
    assert latest(runs("rwalk", day=3, scenario_version=2) + old) == runs("rwalk", day=3, scenario_version=2)
    assert latest([]) == []


@pytest.mark.parametrize("mode", ["statistical", "exact"])
def test_a_baseline_of_another_version_is_not_comparable(mode: Any) -> None:
    found = check(runs("rwalk"), runs("rwalk", version(2)), Rules(mode=mode))
    (cell,) = found.cells
    assert not found.passed
    assert cell.verdict == "not comparable"
    assert "baseline: version 1 of rwalk; candidate: version 2. Make" in cell.reason


def test_a_version_that_concerns_an_option_leaves_other_runs_as_they_were() -> None:
    """ewc's second version is about parity and clamp, split's about a default: runs without are what they were."""
    codes = [resolve(SMALL, {"strategy": {"name": "ewc"} | options})[0].code for options in ({}, {"clamp": True})]
    assert [code["strategy ewc"].version for code in codes] == [1, 2]
    assert {code["scenario split"].version for code in codes} == {1}
    declared = registry.Declared("x", print, version=3, concerns=())
    assert declared.version_with({"parity": True}) == 1


def test_clipping_by_units_has_a_version_of_its_own() -> None:
    """Bias vectors became one unit of adaptive gradient clipping: runs without it are what they were."""
    plain, clipped = (resolve(SMALL, {"strategy": "naive", "optimizer": {"agc": agc}})[0] for agc in (None, 0.01))
    assert "optimizer sgd" not in plain.code
    assert clipped.code["optimizer sgd"] == Code(version=2)
    clipped.check_code()
    settings: dict[str, Any] = {"settings": {"optimizer": {"name": "sgd", "lr": 0.05, "agc": 0.01}}}
    old = runs("naive", **settings)
    new = runs("naive", {"optimizer sgd": Code(version=2)}, day=2, **settings)
    (board,) = leaderboards(old + new + runs("ewc", accuracy=[[0.5, 0.5], [1.0, 0.5], [0.8, 1.0]]))
    names = {entry.label.partition(" (")[0] for entry in board.entries}
    assert names == {"naive, version 1 of sgd", "naive", "ewc"}
    assert check(old, new, Rules()).cells[0].verdict == "not comparable"


@pytest.mark.parametrize("mode", ["statistical", "exact"])
def test_a_plugin_that_was_edited_is_compared_and_the_edit_is_said(mode: Any) -> None:
    found = check(runs("shrink", plugin("a")), runs("shrink", plugin("b")), Rules(mode=mode))
    (cell,) = found.cells
    assert found.passed
    assert cell.verdict == "same"
    assert cell.reason == f"code.strategy code {'a' * 12} → code {'b' * 12}"


def test_cells_of_another_version_are_matched_by_their_settings() -> None:
    old = runs("rwalk", options={"lam": 1}) + runs("rwalk", options={"lam": 2})
    new = runs("rwalk", version(2), options={"lam": 1}) + runs("rwalk", version(2), options={"lam": 2})
    assert [cell.verdict for cell in check(old, new, Rules()).cells] == ["not comparable"] * 2
    assert check(old, old + new, Rules()).passed, "old and new in one folder: each against its own"
