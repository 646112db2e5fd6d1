"""Experiment trackers: what a run tells, told on to TensorBoard, W&B, MLflow or a CSV file.

Each gets the mean training loss every few hundred steps, the accuracy on every task after each stage, and the metrics
at the end; the x axis is the number of training steps since the run began. TensorBoard goes through Avalanche's logger.
A tracker is fed from outside the training loop and costs no synchronisation.
"""

from __future__ import annotations

import csv
import importlib.util
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clbench.config import RunConfig
from clbench.errors import UserError
from clbench.progress import Reporter


class Tracker(Reporter):
    """Base class: a tracker writes single numbers."""

    package = ""  # what must be installed

    def __init__(self) -> None:
        self._before = 0  # steps of the stages that are finished
        self._done = 0  # of the current one

    @abstractmethod
    def log(self, name: str, value: float, step: int) -> None:
        """Write one number."""

    def stage_started(self, stage: int, steps: int) -> None:
        """Count the steps of the stages before."""
        self._before += self._done
        self._done = 0

    def losses_seen(self, step: int, mean: float) -> None:
        """Write the mean training loss of the last steps."""
        self._done = step
        self.log("training_loss", mean, self._before + step)

    def stage_finished(self, stage: int, row: Sequence[float | None]) -> None:
        """Write a row of R."""
        for task, accuracy in enumerate(row, start=1):
            if accuracy is not None:
                self.log(f"accuracy/task_{task}", accuracy, self._before + self._done)

    def run_finished(self, metrics: Mapping[str, float | None]) -> None:
        """Write the metrics."""
        for name, value in metrics.items():
            if value is not None:
                self.log(f"metric/{name}", value, self._before + self._done)


class CsvTracker(Tracker):
    """``<folder>/<run>.csv``: step, name, value; written line by line."""

    def __init__(self, config: RunConfig, folder: Path, offline: bool) -> None:
        super().__init__()
        self._file = open(folder / f"{run_name(config)}.csv", "w", encoding="utf-8", newline="", buffering=1)  # noqa: SIM115
        self._rows = csv.writer(self._file, lineterminator="\n")
        self._rows.writerow(["step", "name", "value"])

    def log(self, name: str, value: float, step: int) -> None:
        """Write a line."""
        self._rows.writerow([step, name, value])

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class TensorBoardTracker(Tracker):
    """Event files under ``<folder>/<run>``, for ``tensorboard --logdir``; by Avalanche's logger."""

    package = "tensorboard"

    def __init__(self, config: RunConfig, folder: Path, offline: bool) -> None:
        from clbench.avalanche import TensorboardLogger

        super().__init__()
        self._logger = TensorboardLogger(folder / run_name(config))

    def log(self, name: str, value: float, step: int) -> None:
        """Write a scalar."""
        self._logger.log_single_metric(name, value, step)

    def close(self) -> None:
        """Write what is buffered."""
        self._logger.writer.close()


class WandbTracker(Tracker):
    """A W&B run of the project 'clbench'; offline it is kept under ``<folder>``.

    Written to directly: Avalanche's own logger asks for parts of wandb that newer releases no longer have.
    """

    package = "wandb"

    def __init__(self, config: RunConfig, folder: Path, offline: bool) -> None:
        import wandb

        super().__init__()
        self._run = wandb.init(
            project="clbench",
            name=run_name(config),
            config=config.model_dump(mode="json"),
            dir=folder,
            mode="offline" if offline else None,
            reinit="finish_previous",
            settings=wandb.Settings(silent=True),
        )

    def log(self, name: str, value: float, step: int) -> None:
        """Write a number."""
        self._run.log({name: value}, step=step)

    def close(self) -> None:
        """End the run."""
        self._run.finish()


class MlflowTracker(Tracker):
    """An MLflow run of the experiment 'clbench', on ``$MLFLOW_TRACKING_URI``, else in ``<folder>/mlflow.db``."""

    package = "mlflow"

    def __init__(self, config: RunConfig, folder: Path, offline: bool) -> None:
        import os

        from mlflow import MlflowClient

        super().__init__()
        local = f"sqlite:///{(folder / 'mlflow.db').resolve()}"
        place = local if offline else os.environ.get("MLFLOW_TRACKING_URI") or local
        self._client: Any = MlflowClient(place)
        known = self._client.get_experiment_by_name("clbench")
        experiment = known.experiment_id if known else self._client.create_experiment("clbench")
        self._run: str = self._client.create_run(experiment, run_name=run_name(config)).info.run_id
        for key, value in config.model_dump(mode="json").items():
            self._client.log_param(self._run, key, value)

    def log(self, name: str, value: float, step: int) -> None:
        """Write a number."""
        self._client.log_metric(self._run, name, value, step=step)

    def close(self) -> None:
        """End the run."""
        self._client.set_terminated(self._run)


TRACKERS: dict[str, type[Tracker]] = {
    "csv": CsvTracker,
    "tensorboard": TensorBoardTracker,
    "wandb": WandbTracker,
    "mlflow": MlflowTracker,
}


def run_name(config: RunConfig) -> str:
    """A name for people, which no other config has: ``ewc-split-digits-s0-1a2b3c4d``."""
    strategy = "".join(c if c.isalnum() or c in "+-_" else "_" for c in config.strategy["name"])[:60]
    return f"{strategy}-{config.scenario['name']}-s{config.seed}-{config.run_id[:8]}"


def check_installed(name: str) -> None:
    """Raise UserError if a tracker's package is missing."""
    package = TRACKERS[name].package
    if package and importlib.util.find_spec(package) is None:
        raise UserError(f"--logger {name} needs {package}, which is not installed. Run: pip install 'clbench[{name}]'")


def open_tracker(name: str, config: RunConfig, folder: Path, offline: bool) -> Tracker:
    """Open a tracker for a run; ``offline`` keeps it on this machine. UserError if its folder cannot be written."""
    try:
        (folder / name).mkdir(parents=True, exist_ok=True)
        return TRACKERS[name](config, folder / name, offline)  # type: ignore[call-arg]
    except OSError as error:
        raise UserError(f"--log-dir {folder} cannot be written ({error.strerror}). Name another folder.") from None
