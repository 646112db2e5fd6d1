"""Diagnostics against closed forms; they must not disturb a run, and be told without NaN."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from clbench import registry, store
from clbench.analysis.compare import leaderboards
from clbench.analysis.diagnosis import QUANTITIES, diagnoses
from clbench.analysis.load import load
from clbench.analysis.runs import run_of
from clbench.cli import app
from clbench.config import resolve
from clbench.data.sources import DataPlace
from clbench.diagnostics import activity, gradients
from clbench.diagnostics.watch import Diagnostics
from clbench.engine.run import Machine, run
from clbench.models.network import Network
from clbench.strategies.dash import Dash
from tests.helpers import FakeLearner, config, run_small, task_data

GROWING: dict[str, Any] = {
    "scenario": {"name": "warm-start-digits", "tasks": 3, "chunk_size": 60},
    "epochs": None,
    "until_train_accuracy": 0.9,
    "max_epochs": 30,
}


def looked_at(strategy: Any, *layers: dict[str, Any], seed: int = 0) -> store.Result:
    return run(config(strategy, *layers, seed=seed), Machine(DataPlace.default(), diagnostics=True))


@pytest.mark.filterwarnings("ignore::clbench.errors.Remark")  # dash leaves some layers alone
@pytest.mark.parametrize("name", sorted(registry.model.listed))
def test_every_model_can_be_looked_into(name: str) -> None:
    """By the diagnostics, and by a method that goes through every weight."""
    small: dict[str, Any] = {"linear": {}, "mlp": {}, "vit": {"width": 6, "depth": 1, "patch": 4}}.get(
        name, {"width": 8}
    )
    layer = {"model": {"name": name} | small, "scenario": {"tasks": 2}, "epochs": 1}
    found = looked_at("dash", layer)
    assert found.status == "ok"
    assert {"network", "boundaries", "features"} <= set(found.diagnostics)


def test_shares_of_silent_units() -> None:
    outputs = torch.tensor([[0.0, 0.001, 1.0, 2.0], [0.0, 0.0, 1.0, 4.0]])
    assert activity.dead_share(outputs) == 0.25
    # means 0, 0.0005, 1, 3; their mean is about 1, so 0.0005 is below 0.025
    assert activity.dormant_share(outputs) == 0.5
    assert activity.dormant_share(torch.zeros(3, 2)) == 1.0


@pytest.mark.parametrize(
    ("singular", "effective", "stable"),
    [([1.0, 1.0, 1.0, 1.0], 4.0, 4), ([5.0, 0.0, 0.0], 1.0, 1), ([0.0, 0.0], 1.0, 1), ([99.0, 1.0], None, 1)],
)
def test_ranks(singular: list[float], effective: float | None, stable: int) -> None:
    values = torch.tensor(singular)
    if effective is None:
        p = [value / sum(singular) for value in singular]
        effective = math.exp(-sum(share * math.log(share) for share in p))
    assert float(activity.effective_rank(values)) == pytest.approx(effective)
    assert int(activity.srank(values)) == stable


def test_cosines_are_those_that_dash_clamps() -> None:
    weight = torch.tensor([[3.0, 4.0], [1.0, 0.0], [0.0, 0.0]])
    gradient = torch.tensor([[-6.0, -8.0], [1.0, 0.0], [1.0, 1.0]])
    found = gradients.cosines(weight, gradient)
    assert torch.allclose(found, torch.tensor([1.0, -1.0, 0.0]))
    assert gradients.clamped_share(found) == pytest.approx(2 / 3)
    assert gradients.histogram(found) == [1, *[0] * 9, 1, *[0] * 8, 1]
    assert gradients.cosines(torch.ones(2, 3, 2, 2), torch.ones(2, 3, 2, 2)).shape == (6,)


def test_mean_gradient_is_that_of_all_samples_at_once() -> None:
    model = Network(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), nn.Linear(3, 2))
    data = task_data(torch.randn(1100, 1, 2, 2), torch.arange(1100) % 2)  # three batches
    fake: Any = FakeLearner(model, data)
    weights = list(model.parameters())
    found = gradients.mean_gradient(fake, data, weights)
    expected = torch.autograd.grad(nn.functional.cross_entropy(model(data.samples), data.labels), weights)
    for one, other in zip(found, expected, strict=True):
        assert one is not None
        assert torch.allclose(one, other, atol=1e-6)


@pytest.mark.parametrize(
    "layers", [({},), (GROWING,), ({"model": {"norm": "batch"}}, {"scenario": {"incremental": "class"}})]
)
@pytest.mark.parametrize("strategy", ["naive", "shrink-perturb", "er"])
def test_looking_changes_nothing(strategy: str, layers: tuple[dict[str, Any], ...]) -> None:
    plain = run(config(strategy, *layers), Machine(DataPlace.default()))
    found = looked_at(strategy, *layers)
    assert found.accuracy == plain.accuracy
    assert found.diagnostics["training_loss"] == plain.diagnostics["training_loss"]
    assert found.run_id == plain.run_id
    stages = len(plain.cost)
    assert len(found.diagnostics["network"]) == stages + 1
    assert len(found.diagnostics["boundaries"]) == stages - 1
    assert found.diagnostics["network"][0]["distance_from_init"] == 0
    assert found.diagnostics["network"][-1]["distance_from_init"] > 0


@pytest.mark.parametrize("lr", [1e3, 1e6, 1e19, 1e37])
def test_runs_that_diverge_say_so_with_diagnostics_too(lr: float, tmp_path: Path) -> None:
    fast = {"optimizer": {"lr": lr}, "model": {"widths": [12, 12]}}
    plain, found = run_small("naive", fast), looked_at("naive", fast)
    assert (found.status, found.reason) == (plain.status, plain.reason)
    store.write(found, tmp_path)  # refuses NaN


def test_old_and_new_data_are_told_apart_where_data_grow() -> None:
    """A network that has memorised the old chunks has a smaller gradient on them than on the new one."""
    found = looked_at("warm", GROWING, {"until_train_accuracy": 1.0, "max_epochs": 200})
    for boundary in found.diagnostics["boundaries"]:
        assert boundary["gradient_norm"]["old"] < 0.7 * boundary["gradient_norm"]["new"]


def test_old_data_of_finished_tasks_are_kept_in_equal_parts() -> None:
    watch = Diagnostics()
    model = Network(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), nn.Linear(3, 2))
    for stage in range(4):
        fake: Any = FakeLearner(model, task_data(torch.full((2000, 1, 2, 2), float(stage)), torch.arange(2000) % 2))
        fake.stage = stage
        watch._begun = {name: p.detach().clone() for name, p in model.named_parameters()}
        watch.after_training_exp(fake)
    assert watch._old is not None
    counts = [int((watch._old.samples[:, 0, 0, 0] == stage).sum()) for stage in range(4)]
    assert sum(counts) == 1000
    assert counts[3] == 250
    assert all(200 < count < 300 for count in counts)


def test_dash_shrinks_what_the_diagnostics_saw() -> None:
    """The boundary is measured before the strategy acts."""
    before = looked_at("warm", GROWING).diagnostics["boundaries"][0]
    after = looked_at("dash", GROWING).diagnostics["boundaries"][0]
    assert before == after
    assert Dash().floor == gradients.FLOOR


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("runs")
    for strategy in ("warm", "cold"):
        for seed in (0, 1):
            store.write(looked_at(strategy, GROWING, seed=seed), place)
    return place


def test_diagnoses_are_means_over_seeds(folder: Path) -> None:
    runs, _ = load([folder])
    (board,) = leaderboards(runs)
    cold, warm = sorted(diagnoses(board, runs), key=lambda one: one.label)
    assert (cold.label, warm.label, cold.seeds) == ("cold", "warm", 2)
    held = {"largest importance", "λ at which ηλA = 1", "way back per step", "left of a gradient, 10 steps on"}
    held |= {f"weights with ηλA {limit}" for limit in ("> 1", "> 2", "< 0")}
    assert set(warm.series) == {quantity.name for quantity in QUANTITIES} - held, "a warm start holds nothing"
    results = [store.read(run.path) for run in runs if run.strategy == "warm" and run.path]
    ranks = [result.diagnostics["network"][2]["effective_rank"] for result in results]
    assert warm.series["effective rank"][2].mean == pytest.approx(sum(ranks) / 2)
    assert warm.series["accuracy after the stage"][3].mean == pytest.approx(
        sum(result.accuracy[3][0] or 0 for result in results) / 2
    )
    assert sum(warm.cosines["backbone.1.weight"]) == 2 * 12, "a group per row and seed"


def test_networks_with_the_same_accuracies_are_told_apart(folder: Path) -> None:
    runs, _ = load([folder])
    same = [replace(run, accuracy=str(run.seed)) for run in runs]
    labels = [{entry.label for entry in leaderboards(same, apart=one)[0].entries} for one in (False, True)]
    assert labels == [{"warm"}, {"cold", "warm"}]


@pytest.mark.parametrize("picture", ["stages", "cosines"])
def test_command_prints_and_draws(folder: Path, picture: str, tmp_path: Path) -> None:
    words = ["diagnose", str(folder), "--picture", picture, "--plot", str(tmp_path / "p.svg")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "effective rank" in done.stdout
    assert "nan" not in done.stdout.lower()
    drawn = (tmp_path / "p.svg").read_text()
    assert "warm" in drawn
    assert ("cos(−∇L, w)" in drawn) == (picture == "cosines")


def test_runs_without_diagnostics_are_told_how_to_get_them(tmp_path: Path) -> None:
    store.write(run(config("warm", GROWING), Machine(DataPlace.default())), tmp_path)
    done = CliRunner().invoke(app, ["diagnose", str(tmp_path)])
    assert done.exit_code == 0
    assert "online accuracy" in done.stdout
    assert "--diagnostics" in done.stdout
    refused = CliRunner().invoke(
        app, ["diagnose", str(tmp_path), "--picture", "cosines", "--plot", str(tmp_path / "p.svg")]
    )
    assert "--diagnostics" in str(refused.exception)
    assert not (tmp_path / "p.svg").exists()


def test_a_threshold_that_was_missed_is_told(tmp_path: Path) -> None:
    never = GROWING | {"until_train_accuracy": 1.0, "max_epochs": 1}
    result = run(config("warm", never), Machine(DataPlace.default()))
    assert result.status == "ok"
    assert [stage.reached for stage in result.cost] == [False] * 3
    assert [stage.epochs for stage in result.cost] == [1] * 3
    assert result.metrics["steps_to_threshold"].value is None
    store.write(result, tmp_path)
    done = CliRunner().invoke(app, ["diagnose", str(tmp_path)])
    assert "missed the threshold" in done.stdout


@pytest.mark.parametrize("strategy", ["dash", "fire", "shrink-perturb", "redo", "upgd", "ewc-fixed+shrink-perturb"])
def test_images_without_variance_make_no_nan(strategy: str, tmp_path: Path) -> None:
    for part, label, number in product(("train", "test"), ("a", "b"), range(6)):
        file = tmp_path / "flat" / part / label / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 120).save(file)
    setting = {"scenario": {"name": "warm-start-flat", "tasks": 2}, "epochs": 2}
    machine = Machine(DataPlace(tmp_path, tmp_path / "cache", offline=True), diagnostics=True)
    (chosen,) = resolve({"strategy": strategy, "model": {"name": "mlp", "widths": [6]}}, setting)
    result = run(chosen, machine)
    assert result.status == "ok", result.reason
    assert [row[0] for row in result.accuracy[1:]] == [0.5, 0.5]
    store.write(result, tmp_path / "results")  # refuses NaN
    (row,) = diagnoses(leaderboards([run_of(result, tmp_path)])[0], [run_of(result, tmp_path)], lambda _: result)
    assert all(math.isfinite(value.mean) for series in row.series.values() for value in series.values())


def test_report_shows_stages_where_they_were_measured(folder: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["report", str(folder), "-o", str(tmp_path / "r.html")])
    assert done.exit_code == 0, done.output
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<summary>Units, ranks, weights and gradients over stages</summary>" in page
    assert "<summary>Stability–plasticity plane</summary>" not in page, "nothing can be forgotten where data only grow"


def test_command_line_measures_and_names_stages_that_missed_the_threshold(tmp_path: Path) -> None:
    words = [
        "run",
        "--strategy",
        "warm",
        "--scenario",
        "warm-start-digits",
        "--results",
        str(tmp_path),
        "--diagnostics",
    ]
    for setting in ("scenario.tasks=2", "scenario.chunk_size=40", "max_epochs=1", "model.widths=[8]"):
        words += ["--set", setting]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "did not reach 0.999 within 1 epochs in stage 1, 2" in done.output
    (file,) = tmp_path.rglob("*.json")
    result = store.read(file)
    assert len(result.diagnostics["network"]) == 3
    assert [stage.reached for stage in result.cost] == [False, False]
