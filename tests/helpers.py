"""What several tests need: small runs, small Results, a learner without an engine around it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor, nn

from clbench import metrics, registry, store
from clbench.config import RunConfig, resolve
from clbench.data.dataset import Dataset
from clbench.data.inputs import Pixels
from clbench.data.sources import DataPlace
from clbench.data.streams import Stream
from clbench.data.tensors import TaskData
from clbench.engine.run import Machine, run
from clbench.engine.told import metric_values
from clbench.roles import Role

SIZES = (48, 12, 30, 6, 24, 18)  # training images of each class of ``uneven``
SMALL: dict[str, Any] = {
    "scenario": {"name": "split-digits", "tasks": 5, "samples_per_task": 48},
    "model": {"name": "mlp", "widths": [12]},
    "epochs": 2,
}


def config(strategy: Any, *layers: dict[str, Any], seed: int = 0) -> RunConfig:
    """A small run of a strategy on digits."""
    return resolve(SMALL, {"strategy": strategy, "seeds": [seed]}, *layers)[0]


def run_small(strategy: Any, *layers: dict[str, Any], seed: int = 0, root: Path | None = None) -> store.Result:
    """Run it."""
    return run(config(strategy, *layers, seed=seed), Machine(DataPlace.default(root)))


def uneven(root: Path) -> Path:
    """Write six digits as a folder ``uneven`` of images, with classes of very different sizes; return its parent."""
    images, labels = load_digits(return_X_y=True)
    for label, count in enumerate(SIZES):
        own = images[labels == label][: count + 12].reshape(-1, 8, 8)
        for index, image in enumerate(own):
            folder = root / "uneven" / ("train" if index < count else "test") / str(label)
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray((image * 15.9).astype("uint8")).save(folder / f"{index}.png")
    return root


def known(row: Sequence[float | None]) -> list[float]:
    """A row of R in which every task was evaluated."""
    assert None not in row
    return [value for value in row if value is not None]


def make_result(
    strategy: str = "naive",
    seed: int = 0,
    accuracy: Sequence[Sequence[float]] = ((0.5, 0.5), (1.0, 0.5), (0.75, 1.0)),
    *,
    scenario: str = "split-digits",
    status: Any = "ok",
    options: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
    scenario_version: int = 1,
    fingerprint: str = "f" * 64,
    seconds: float = 2.0,
    created: str = "2026-01-01T00:00:00+00:00",
    warnings: Sequence[str] = (),
    role: Role | None = None,
    cost: Sequence[store.StageCost] = (),
) -> store.Result:
    """A Result that no run made."""
    configuration: dict[str, Any] = {
        "updates": 1,
        "strategy": {"name": strategy} | (options or {}),
        "scenario": ({"shots": None} if scenario.startswith("split") else {}) | {"name": scenario, "tasks": 2},
        "model": {"name": "mlp"},
        "optimizer": {"name": "sgd", "lr": 0.05},
        "evaluate": "test",
        "seed": seed,
    } | (settings or {})
    rows: list[list[float | None]] = [[float(value) for value in row] for row in accuracy]
    return store.Result(
        run_id=store.digest(configuration),
        role=role or _role_here(strategy),
        status=status,
        reason=None if status == "ok" else "the loss became NaN or infinite at step 3 of stage 1",
        created=created,
        seed=seed,
        config=configuration,
        scenario=store.ScenarioInfo(version=scenario_version, stream="abc", classes=[[0, 1], [2, 3]]),
        data=store.DataInfo(
            name="digits", fingerprint=fingerprint, official=True, train_samples=[4, 4], test_samples=[4, 4]
        ),
        model=store.ModelInfo(parameters=10, classifier="multi"),
        accuracy=rows,
        online_accuracy=None,
        metrics=metric_values(metrics.Course(rows)) if status == "ok" else {},
        seconds=seconds,
        cost=list(cost),
        diagnostics={},
        warnings=list(warnings),
        environment={},
    )


def _role_here(name: str) -> Role:
    """What a strategy of this name is in the catalogue; made-up ones are methods."""
    listed = registry.strategy.listed
    return listed[name].role if name in listed else "method"


def make_stream(family: str, data: Dataset, seed: int = 0, **options: Any) -> Stream:
    """The stream that a scenario family makes of a dataset."""
    stream: Stream = registry.scenario.load(family).make(data, seed, **options)
    return stream


def task_data(images: Tensor, labels: Tensor, head: int | None = 0) -> TaskData:
    """Samples without a dataset; pixel values are the network's input."""
    one, zero = torch.ones(1, 1, 1), torch.zeros(1, 1, 1)
    return TaskData(images, labels, torch.zeros_like(labels), Pixels(one, zero), head)


class FakeLearner:
    """As much of a learner as importances and quadratic strategies look at."""

    def __init__(self, model: nn.Module, data: TaskData | None = None, batch_size: int = 4) -> None:
        self.model = model
        self.stage = 0
        self.plugins: list[Any] = []
        self.train_mb_size = batch_size
        self.classes_return = False
        self.updates, self.last_update = 1, True
        self.device = torch.device("cpu")
        self.mb_output: Tensor | None = None
        self.optimizer = torch.optim.SGD(model.parameters(), 0.1)
        self.augmented = lambda images: images
        if data is not None:
            self.data = data

    @property
    def batch_sizes(self) -> list[int]:
        return self.data.batches(self.train_mb_size).sizes()

    def random(self, purpose: str) -> torch.Generator:
        return torch.Generator().manual_seed(len(purpose))

    def logits(self, x: Tensor, heads: Any, parameters: dict[str, Tensor] | None = None) -> Tensor:
        if parameters is None:
            output: Tensor = self.model(x)
            return output
        called: Tensor = torch.func.functional_call(self.model, parameters, (x,))
        return called
