"""Diagnostics of how weights are held: against closed forms, and the map of stability."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clbench import store
from clbench.analysis.compare import leaderboards
from clbench.analysis.diagnosis import QUANTITIES, diagnoses
from clbench.analysis.instability import maps
from clbench.analysis.load import load
from clbench.data.sources import DataPlace
from clbench.diagnostics.holding import holding
from clbench.diagnostics.similarity import cka, hsic
from clbench.engine.run import Machine, run
from clbench.errors import UserError
from clbench.render.plots import Scene, draw
from clbench.strategy import Protection, by_layer
from tests.helpers import config, make_result, run_small


def penalty(strength: list[float], importance: list[float] | None = None) -> Protection:
    importance = importance or [value / 10 for value in strength]
    return Protection("penalty", {"a.weight": torch.tensor(importance)}, {"a.weight": torch.tensor(strength)})


def test_a_penalty_by_hand() -> None:
    """λ = 10, η = 0.1: ηλA is 0.5, 1.5, 3 and −1."""
    found = holding(penalty([5.0, 15.0, 30.0, -10.0]), eta=0.1)
    assert found["importance"]["a"] == {"mean": pytest.approx(1.0), "max": pytest.approx(3.0)}
    assert found["lam_upper"] == pytest.approx(1 / (0.1 * 3.0))
    assert (found["above_1"], found["above_2"], found["below_0"]) == (0.5, 0.25, 0.25)
    assert found["share"]["a"] == {"mean": pytest.approx(1.0), "max": pytest.approx(3.0)}
    # |1 − s|^k: 0.5, 0.5, 2, 2
    assert found["retained"]["1"] == pytest.approx(1.25)
    assert found["retained"]["10"] == pytest.approx((2 * 0.5**10 + 2 * 2.0**10) / 4)
    assert sum(found["histogram"]["a"]) == 3, "the one that is pushed away has no logarithm"


def test_an_interpolation_by_hand() -> None:
    protection = Protection("explicit", {"a.weight": torch.tensor([4.0])}, {"a.weight": torch.tensor([0.25])})
    found = holding(protection, eta=0.1)
    assert found["retained"] == {str(k): pytest.approx(0.75**k) for k in (1, 10, 100)}
    assert "lam_upper" not in found
    assert found["histogram"]["a"].index(1) == 5, "0.25 in twenty bins from 0 to 1"


def test_what_grows_without_end_is_still_a_number() -> None:
    assert holding(penalty([1e30]), eta=1.0)["retained"]["100"] == 1e300
    assert holding(penalty([0.0]), eta=1.0)["lam_upper"] is None


def test_layers_join_weight_and_bias() -> None:
    joined = by_layer({"b.0.weight": torch.zeros(2, 3), "b.0.bias": torch.ones(2), "c": torch.ones(1)})
    assert {layer: len(values) for layer, values in joined.items()} == {"b.0": 8, "": 1}


def brute_hsic(k: torch.Tensor, l: torch.Tensor) -> float:  # noqa: E741
    """Song et al. 2012, eq. 4, as a sum over distinct indices."""
    n = len(k)
    total, pairs = 0.0, range(n)
    for i in pairs:
        for j in pairs:
            for q in pairs:
                for r in pairs:
                    if len({i, j, q, r}) == 4:
                        total += float(k[i, j] * (l[i, j] + l[q, r] - 2 * l[i, q]))
    return total / (n * (n - 1) * (n - 2) * (n - 3))


def test_hsic_is_the_u_statistic() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(6, 3).double(), torch.randn(6, 2).double()
    assert float(hsic(x @ x.T, y @ y.T)) == pytest.approx(brute_hsic(x @ x.T, y @ y.T))


@given(st.integers(0, 1000))
def test_cka_knows_rotation_and_scale_and_no_more(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(40, 6, generator=random)
    turn = torch.linalg.qr(torch.randn(6, 6, generator=random))[0]
    assert float(cka(x, 3 * x @ turn)) == pytest.approx(1.0, abs=1e-5)
    assert abs(float(cka(x, torch.randn(40, 200, generator=random)))) < 0.5, (
        "debiased: no likeness of unrelated features"
    )


def diagnosed(strategy: Any, *layers: dict[str, Any], folder: Path | None = None, seed: int = 0) -> store.Result:
    result = run(config(strategy, *layers, seed=seed), Machine(DataPlace.default(None), diagnostics=True))
    if folder is not None:
        store.write(result, folder)
    return result


@pytest.mark.parametrize("strategy", [{"name": "ewc", "lam": 500.0}, "si-fixed", {"name": "lwf+l2", "lam": 1.0}])
def test_runs_tell_how_they_held_and_are_not_changed(strategy: Any) -> None:
    result = diagnosed(strategy)
    assert result.accuracy == run_small(strategy).accuracy
    held = result.diagnostics["held"]
    assert held[0] is None, "nothing to hold in the first stage"
    assert all(one["kind"] == ("explicit" if strategy == "si-fixed" else "penalty") for one in held[1:])
    assert result.diagnostics["cka"][0] == pytest.approx({"backbone.2": 1.0})


def test_strength_of_a_penalty_is_lambda_times_importance() -> None:
    held = diagnosed({"name": "ewc", "lam": 500.0}).diagnostics["held"][-1]
    for layer, importance in held["importance"].items():
        assert held["share"][layer]["max"] == pytest.approx(0.05 * 500 * importance["max"], rel=1e-5)


@pytest.mark.parametrize("clamp", [False, True])
def test_a_schedule_is_measured_at_its_largest_rate(clamp: bool) -> None:
    """Not at the stage's last one, which is near 0 and would make every strength look safe."""
    layer = {"optimizer": {"schedule": "cosine", "lr": 0.04}}
    held = diagnosed({"name": "ewc", "lam": 5000.0, "clamp": clamp}, layer).diagnostics["held"][-1]
    for name, importance in held["importance"].items():
        share = 0.04 * 5000 * importance["max"]
        assert share > 1
        assert held["share"][name]["max"] == pytest.approx(1.0 if clamp else share, rel=1e-5)
        assert held["lam_upper"] == pytest.approx(1 / (0.04 * importance["max"]), rel=1e-5)


def test_a_frozen_backbone_is_alike_for_ever() -> None:
    for found in diagnosed("frozen-backbone").diagnostics["cka"]:
        assert found == pytest.approx({"backbone.2": 1.0})


def test_summaries_and_pictures(tmp_path: Path) -> None:
    for name in ("ewc", "ewc-fixed"):
        for seed in (0, 1):
            diagnosed(name, folder=tmp_path / "runs", seed=seed)
    runs, _ = load([tmp_path / "runs"])
    boards = leaderboards(runs)
    rows = {row.label: row for row in diagnoses(boards[0], runs)}
    assert rows["ewc"].kind == "penalty"
    assert rows["ewc-fixed"].kind == "explicit"
    assert list(rows["ewc"].held) == ["backbone.1"]
    assert sum(rows["ewc-fixed"].held["backbone.1"].histogram) == 2 * (64 * 12 + 12)
    names = {quantity.name for quantity in QUANTITIES} & set(rows["ewc"].series)
    assert {"largest importance", "λ at which ηλA = 1", "CKA with the first stage"} <= names
    scene = Scene(boards, None, runs)
    for picture in ("importance", "shares", "cka"):
        (file,) = draw(tmp_path / f"{picture}.svg", picture, scene)
        assert "ewc-fixed" in file.read_text()
    with pytest.raises(UserError, match="--picture map"):
        draw(tmp_path / "map.svg", "map", scene)


def test_seeds_that_were_not_measured_are_left_out(tmp_path: Path) -> None:
    for seed in (0, 1):
        diagnosed("ewc", folder=tmp_path, seed=seed)
    both, _ = load([tmp_path])
    (whole,) = diagnoses(leaderboards(both)[0], both)
    result = store.read(Path(str(both[0].path)))
    store.write(result.model_copy(update={"diagnostics": {}}), tmp_path)
    half, _ = load([tmp_path])
    (row,) = diagnoses(leaderboards(half)[0], half)
    assert row.series.keys() == whole.series.keys()
    assert row.cka.keys() == whole.cka.keys() != set()
    measured = row.series["CKA with the first stage"]
    assert measured.keys() == whole.series["CKA with the first stage"].keys()
    assert {found.n for found in measured.values()} == {1}


def test_map_has_cells_limits_and_divergence(tmp_path: Path) -> None:
    for lam, eta in ((1.0, 0.1), (100.0, 0.1), (1.0, 0.01)):
        status = "diverged" if lam == 100 else "ok"
        result = make_result(
            "si", options={"lam": lam}, settings={"optimizer": {"name": "sgd", "lr": eta}}, status=status
        )
        held = [None, {"lam_upper": 2.0 / eta}]
        store.write(result.model_copy(update={"diagnostics": {"held": held}}), tmp_path)
    store.write(make_result("si-fixed", settings={"optimizer": {"name": "sgd", "lr": 0.1}}), tmp_path)
    store.write(make_result("si-fixed", settings={"optimizer": {"name": "sgd", "lr": 0.01}}), tmp_path)
    runs, _ = load([tmp_path])
    si, fixed = maps(runs)
    assert si.lams == [1.0, 100.0]
    assert si.etas == [0.01, 0.1]
    assert si.accuracy == {(1.0, 0.1): 0.875, (100.0, 0.1): None, (1.0, 0.01): 0.875}
    assert si.limits == pytest.approx({0.1: 20.0, 0.01: 200.0})
    assert fixed.lams == [None]
    (file,) = draw(tmp_path / "map.svg", "map", Scene(leaderboards(runs), None, runs))
    assert "average accuracy" in file.read_text()


def test_pictures_need_measurements(tmp_path: Path) -> None:
    store.write(make_result(), tmp_path)
    runs, _ = load([tmp_path])
    for picture in ("importance", "shares", "cka"):
        with pytest.raises(UserError, match="have not measured"):
            draw(tmp_path / "x.svg", picture, Scene(leaderboards(runs), None, runs))
