"""Choosing settings: on the first tasks, on held-out images, and written down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from clbench import store
from clbench.cli import app
from clbench.config import RunConfig, resolve
from clbench.config.shipped import shipped_recipe
from clbench.data.sources import DataPlace
from clbench.engine.run import Machine
from clbench.errors import UserError
from clbench.progress import Reporter
from clbench.sweeps.executor import InlineExecutor, Stopping
from clbench.sweeps.local import LocalExecutor, slots
from clbench.sweeps.space import Range, Tune, default_space, read
from clbench.sweeps.study import Study, Trial, recipe
from clbench.sweeps.tune import Run, configs, search
from clbench.sweeps.work import RealRun
from clbench.yaml_files import read_yaml
from tests.helpers import SMALL, make_result

LAYERS: list[Any] = [SMALL, {"strategy": {"name": "ewc"}}]
SPACE: Any = {"strategy.lam": [1.0, 10.0, 100.0], "optimizer.lr": [0.1, 0.01]}


def asked(**more: Any) -> Tune:
    return Tune.model_validate({"tasks": 2, "space": SPACE} | more)


def best_at(lam: float, lr: float, ran: list[RunConfig] | None = None) -> Run:
    """A runner that knows what is best, and diverges at a large learning rate with a large λ."""

    def run(config: RunConfig, reporter: Reporter, stopping: Stopping) -> store.Result:
        if ran is not None:
            ran.append(config)
        mine = (config.strategy["lam"], config.optimizer["lr"])
        value = 0.9 if mine == (lam, lr) else 0.5
        status = "diverged" if mine == (100.0, 0.1) else "ok"
        return make_result("ewc", accuracy=[[0, 0], [value, value], [value, value]], status=status)

    return run


def find(layers: list[Any], tune: Tune, file: Path, run: Run, stopping: Stopping = lambda: False) -> Study:
    return search(layers, tune, file, InlineExecutor(stopping), run, silent, stopping)


def silent(number: int, count: int, trial: Trial) -> None:
    assert 1 <= number <= count


def test_trials_see_the_first_tasks_and_held_out_images_only() -> None:
    (config,) = configs(LAYERS, asked(), {"strategy.lam": 7.0})
    assert config.scenario["keep"] == 2
    assert config.evaluate == "validation"
    assert config.scenario["validation"] == 0.1
    assert config.strategy["lam"] == 7.0


def test_a_grid_tries_everything_once_and_finds_the_best(tmp_path: Path) -> None:
    ran: list[RunConfig] = []
    study = find(LAYERS, asked(), tmp_path / "x.study.json", best_at(10.0, 0.01, ran))
    assert len(ran) == len(study.trials) == 6
    assert study.best().settings == {"strategy.lam": 10.0, "optimizer.lr": 0.01}
    assert [trial.mean for trial in study.trials].count(None) == 1, "the one that diverged has no mean"


def test_ties_and_values_at_the_end_of_what_was_tried_are_said(tmp_path: Path) -> None:
    inside = find(LAYERS, asked(), tmp_path / "inside.json", best_at(10.0, 0.01))
    assert inside.doubts() == []
    edge = find(LAYERS, asked(), tmp_path / "edge.json", best_at(1.0, 0.01))
    assert [doubt.split(":")[0] for doubt in edge.doubts()] == ["strategy.lam is the smallest that was tried"]
    tied = find(LAYERS, asked(), tmp_path / "tied.json", best_at(7.0, 0.01)).doubts()
    assert tied[0].startswith("4 other settings reached the same")
    assert "strategy.lam, optimizer.lr among them" in tied[0]
    ranges = {"optimizer.lr": {"low": 0.001, "high": 0.1, "log": True}}
    for lr, said in ((0.00101, ["smallest"]), (0.01, []), (0.099, ["largest"])):
        study = Study({"tune": {"metric": "average_accuracy", "space": ranges}}, [Trial({"optimizer.lr": lr}, [0.5])])
        assert [doubt.split()[3] for doubt in study.doubts()] == said


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp", "cmaes"])
def test_samplers_draw_from_ranges(sampler: str, tmp_path: Path) -> None:
    space = {"optimizer.lr": Range(low=0.001, high=0.1, log=True), "strategy.lam": [1.0]}
    tune = asked(sampler=sampler, trials=5, space=space)
    study = find(LAYERS, tune, tmp_path / "x.study.json", best_at(1.0, 0.1))
    rates = [trial.settings["optimizer.lr"] for trial in study.trials]
    assert len(set(rates)) == 5
    assert all(0.001 <= rate <= 0.1 for rate in rates)


def test_a_stopped_study_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    ran: list[RunConfig] = []
    with pytest.raises(UserError, match="Stopped after 2 of 6 trials"):
        find(LAYERS, asked(), tmp_path / "x.study.json", best_at(10.0, 0.01, ran), lambda: len(ran) == 2)
    ran.clear()
    find(LAYERS, asked(), tmp_path / "x.study.json", best_at(10.0, 0.01, ran))
    assert len(ran) == 4, "two of six were done"
    find(LAYERS, asked(), tmp_path / "whole.study.json", best_at(10.0, 0.01))
    assert (tmp_path / "x.study.json").read_text() == (tmp_path / "whole.study.json").read_text()


def test_a_failing_trial_is_told_and_loses_nothing(tmp_path: Path) -> None:
    def failing(config: RunConfig, reporter: Reporter, stopping: Stopping) -> store.Result:
        if config.strategy["lam"] == 10.0:
            raise RuntimeError("no luck")
        return best_at(1.0, 0.1)(config, reporter, stopping)

    with pytest.raises(UserError, match=r"a trial failed: RuntimeError: no luck"):
        find(LAYERS, asked(), tmp_path / "x.study.json", failing)
    ran: list[RunConfig] = []
    find(LAYERS, asked(), tmp_path / "x.study.json", best_at(1.0, 0.1, ran))
    assert len(ran) == 4, "two were done before"


def test_trials_that_lag_behind_are_given_up(tmp_path: Path) -> None:
    """Each trial reports its tasks one by one; from the fifth on, those below the median so far go."""
    stages = 0

    def run(config: RunConfig, reporter: Reporter, stopping: Stopping) -> store.Result:
        nonlocal stages
        value = 1.0 - config.optimizer["lr"]  # the later, the worse
        for stage in (1, 2, 3):
            stages += 1
            reporter.stage_finished(stage, [value] * 3)
        return make_result("ewc", accuracy=[[0, 0], [value, value], [value, value]])

    space = {"optimizer.lr": [0.1 * number for number in range(1, 9)]}
    study = find(LAYERS, asked(space=space, pruner="median"), tmp_path / "x.study.json", run)
    given_up = [trial.pruned for trial in study.trials]
    assert given_up == [None] * 4 + [1] * 4
    assert stages == 4 * 3 + 4
    assert study.best().settings == {"optimizer.lr": 0.1}
    content = json.loads((tmp_path / "x.study.json").read_text())
    assert content["trials"][5]["pruned"] == 1
    assert content["question"]["tune"]["pruner"] == "median"


def test_workers_share_a_study(tmp_path: Path) -> None:
    """Two processes, six combinations: each is tried once, on real data."""
    machine = Machine(DataPlace.default(None, True), "cpu", threads=1)
    space = {"strategy.lam": [1.0, 10.0, 100.0], "optimizer.lr": [0.1, 0.01]}
    with LocalExecutor(slots(2)) as executor:
        tune = asked(space=space)
        study = search(LAYERS, tune, tmp_path / "x.study.json", executor, RealRun(machine), silent, lambda: False)
    tried = [tuple(trial.settings.values()) for trial in study.trials]
    assert len(set(tried)) == len(tried) == 6
    alone = find(LAYERS, tune, tmp_path / "alone.study.json", RealRun(machine))
    values = {tuple(trial.settings.values()): trial.values for trial in alone.trials}
    assert values == {settings: trial.values for settings, trial in zip(tried, study.trials, strict=True)}
    assert [file.name for file in tmp_path.iterdir() if "journal" in file.name] == []


def test_another_question_is_not_mixed_in(tmp_path: Path) -> None:
    file = tmp_path / "x.study.json"
    find(LAYERS, asked(), file, best_at(1.0, 0.1))
    with pytest.raises(UserError, match="a study of other settings"):
        find(LAYERS, asked(tasks=3), file, best_at(1.0, 0.1))
    file.write_text("{")
    with pytest.raises(UserError, match="is no study"):
        find(LAYERS, asked(), file, best_at(1.0, 0.1))


def test_a_recipe_leaves_the_tasks_out_that_chose(tmp_path: Path) -> None:
    file = tmp_path / "ewc.study.json"
    study = find(LAYERS, asked(), file, best_at(10.0, 0.01))
    found = recipe(LAYERS, asked(), study, file)
    (config,) = resolve(found)
    assert config.scenario["skip"] == 2
    assert config.scenario["keep"] is None
    assert (config.strategy["lam"], config.optimizer["lr"]) == (10.0, 0.01)
    assert config.evaluate == "test"
    assert config.tuned is not None
    assert config.tuned["value"] == 0.9
    assert config.tuned["digest"] == store.digest(json.loads(file.read_text()))
    (by_hand,) = resolve({key: value for key, value in found.items() if key != "tuned"})
    assert by_hand.run_id == config.run_id, "how settings were chosen changes nothing in a run"


@pytest.mark.parametrize(("tasks", "skip", "keep"), [(2, 3, 1), (None, 1, 3)])
def test_a_recipe_of_a_stretch_goes_on_behind_it(tasks: int | None, skip: int, keep: int, tmp_path: Path) -> None:
    layers = [*LAYERS, {"scenario": {"skip": 1, "keep": 3}}]
    file = tmp_path / "ewc.study.json"
    study = find(layers, asked(tasks=tasks), file, best_at(10.0, 0.01))
    assert study.question["config"]["scenario"]["keep"] == (tasks or 3)
    (config,) = resolve(recipe(layers, asked(tasks=tasks), study, file))
    assert (config.scenario["skip"], config.scenario["keep"]) == (skip, keep)


def test_nothing_is_chosen_where_all_diverge() -> None:
    with pytest.raises(UserError, match="every trial diverged"):
        Study({"tune": {"metric": "forgetting"}}, [Trial({}, [None])]).best()


def test_lower_is_better_for_some_metrics() -> None:
    study = Study({"tune": {"metric": "forgetting"}}, [Trial({"a": 1}, [0.5]), Trial({"a": 2}, [0.1])])
    assert study.best().settings == {"a": 2}


def test_default_space_is_learning_rate_and_strengths() -> None:
    assert list(default_space({"name": "naive"})) == ["optimizer.lr"]
    assert default_space({"name": "ewc"})["strategy.lam"] == [0.1, 1.0, 10.0, 100.0, 1000.0]
    assert {"strategy.lwf.mu", "strategy.ewc.lam"} < set(default_space({"name": "lwf+ewc"}))


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"task": 2}, "tune.task"),
        ({"metric": "accuracy"}, r"unknown metric 'accuracy'\. Did you mean"),
        ({"space": {"optimizer.lr": []}}, "tune.space"),
        ({"space": {"optimizer.lr": {"low": 1.0, "high": 0.1}}}, "low < high"),
        ({"space": {"optimizer.lr": {"low": 0.1, "high": 1.0}}}, "a grid needs a list"),
        ({"sampler": "best"}, "tune.sampler"),
        ({"pruner": "median", "metric": "forgetting"}, "it goes by accuracy"),
        ({"validation": 0}, "tune.validation"),
        ({"seeds": "x"}, "seeds"),
    ],
)
def test_bad_tune_blocks(block: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(block, {"name": "ewc"})


def test_a_run_does_not_take_a_tune_block() -> None:
    with pytest.raises(UserError, match="'clbench tune'"):
        resolve({"strategy": "ewc", "tune": {}})


def test_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    content = SMALL | {"strategy": "ewc", "tune": {"tasks": 2, "space": {"strategy.lam": [1, 100]}}}
    Path("c.yaml").write_text(yaml.safe_dump(content))
    done = CliRunner().invoke(app, ["tune", "--config", "c.yaml"])
    assert done.exit_code == 0, done.output
    assert "2/2" in done.stderr
    folder = Path("results/tuned/split-digits")
    assert {file.name for file in folder.iterdir()} == {"ewc.yaml", "ewc.study.json"}
    assert CliRunner().invoke(app, ["run", "--config", str(folder / "ewc.yaml"), "-q"]).exit_code == 0
    (file,) = Path("results/split-digits").rglob("s0-*.json")
    result = store.read(file)
    assert len(result.accuracy[0]) == 3, "two of five tasks had chosen"
    assert result.tuned is not None
    assert result.tuned["chosen"] == {"strategy.lam": read_yaml(folder / "ewc.yaml")["strategy"]["lam"]}
    compared = CliRunner().invoke(app, ["compare", "results"])
    assert compared.exit_code == 0
    assert "left out" not in compared.stderr, "a study is no Result, and nobody says it should be"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--space", "optimizer.lr"], "expected KEY=VALUE"),
        (["--space", "optimizer.lr=a..b"], "a range has two numbers"),
        (["--space", "optimizer.nothing=1,2"], "Unknown option 'optimizer.nothing'"),
        (["--strategy", "ewk"], "Did you mean 'ewc'"),
    ],
)
def test_bad_words(words: list[str], message: str, tmp_path: Path) -> None:
    command = ["tune", "--strategy", "ewc", "-o", str(tmp_path), *words]
    done = CliRunner().invoke(app, command)
    assert isinstance(done.exception, UserError)
    assert message in str(done.exception)
    assert list(tmp_path.rglob("*.yaml")) == []


SHIPPED = sorted((Path(__file__).parents[1] / "scenarios" / "tuned").glob("*/*.yaml"))


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_shipped_recipes_say_how_they_were_chosen(file: Path) -> None:
    """The study beside each has its choice as the best of all its trials, of the same question."""
    content = shipped_recipe(file.stem, file.parent.name)
    tuned = content["tuned"]
    study = json.loads((file.parent / tuned["study"]).read_text())
    assert store.digest(study) == tuned["digest"]
    trials = [Trial(one["settings"], one["values"]) for one in study["trials"]]
    best = Study(study["question"], trials).best()
    assert best.settings == tuned["chosen"]
    assert len(trials) == tuned["tried"]
    (config,) = resolve(content)
    assert config.strategy["name"] == file.stem
    assert config.scenario["name"] == file.parent.name
    assert study["question"]["config"]["evaluate"] == "validation"


def test_recipes_are_shipped() -> None:
    assert len(SHIPPED) > 10
    with pytest.raises(UserError, match=r"no settings are shipped for 'gdumb' on 'nowhere'.*ewc on split-digits"):
        shipped_recipe("gdumb", "nowhere")
