"""Trackers: what a run tells arrives, offline, in each one's own format."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path
from typing import Any

import pytest

from clbench import trackers
from clbench.errors import UserError
from clbench.progress import Reporter, Reporters
from clbench.trackers import check_installed, open_tracker, run_name
from tests.helpers import config

CONFIG = config("ewc")


def needs(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"needs {package}")


def tell(name: str, folder: Path) -> None:
    tracker = open_tracker(name, CONFIG, folder, offline=True)
    both = Reporters([tracker, Reporter()])
    both.run_started(2)
    for stage in (1, 2):
        both.stage_started(stage, 10)
        both.losses_seen(10, 1.5 / stage)
        both.stage_finished(stage, [0.25 * stage, 0.5])
    both.run_finished({"forgetting": 0.125, "intransigence": None})
    both.close()


def test_csv(tmp_path: Path) -> None:
    tell("csv", tmp_path)
    with open(tmp_path / "csv" / f"{run_name(CONFIG)}.csv", newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == ["step", "name", "value"]
    assert rows[1:4] == [
        ["10", "training_loss", "1.5"], ["10", "accuracy/task_1", "0.25"], ["10", "accuracy/task_2", "0.5"],
    ]  # fmt: skip
    assert rows[-1] == ["20", "metric/forgetting", "0.125"]
    assert len(rows) == 8


@needs("tensorboard")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_through_avalanches_logger(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tell("tensorboard", tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard" / run_name(CONFIG)))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("accuracy/task_1")] == [(10, 0.25), (20, 0.5)]
    assert events.Scalars("metric/forgetting")[0].value == 0.125


@needs("wandb")
@pytest.mark.filterwarnings("ignore")
def test_wandb_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    tell("wandb", tmp_path)
    (run,) = (tmp_path / "wandb" / "wandb").glob("offline-run-*")
    assert next(iter(run.glob("run-*.wandb"))).stat().st_size > 0


@needs("mlflow")
@pytest.mark.filterwarnings("ignore")
def test_mlflow_offline(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    tell("mlflow", tmp_path)
    client: Any = MlflowClient(f"sqlite:///{tmp_path / 'mlflow' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("clbench")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.metrics["metric/forgetting"] == 0.125
    assert [m.value for m in client.get_metric_history(run.info.run_id, "accuracy/task_1")] == [0.25, 0.5]
    assert "ewc" in run.data.params["strategy"]


def test_missing_package_and_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers.MlflowTracker, "package", "no_such_package")
    with pytest.raises(UserError, match=r"pip install 'clbench\[mlflow\]'"):
        check_installed("mlflow")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--log-dir"):
        open_tracker("csv", CONFIG, tmp_path / "file", offline=True)
