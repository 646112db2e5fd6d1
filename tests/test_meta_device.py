"""Ready for a GPU without having one: runs on the ``meta`` device, which has no values to read (``tests/meta.py``).

No step waits for the device, and no tensor stays behind on the host. What waits between steps is listed by name and
reason below: a place that is not listed fails the test, and so does one that is listed and no longer waits.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

import pytest
import torch

from clbench import registry
from clbench.config import RunConfig, resolve
from clbench.data.sources import DataPlace
from clbench.data.tensors import sent
from clbench.engine.run import Machine, run
from clbench.optimizers import OPTIMIZERS
from clbench.strategy import Learner, Strategy
from tests import test_time
from tests.meta import FaultOnDeviceError, Watch, on_meta
from tests.test_removal import ANSWERING
from tests.test_removal import QUICK as QUICK_ANSWERS
from tests.test_strategy_contract import FROZEN, NEEDS, QUICK, STRATEGIES

# Two stages of two batches.
SETTING: dict[str, Any] = {"model": {"name": "mlp", "widths": [8]}, "epochs": 1, "batch_size": 16}
SPLIT: dict[str, Any] = {"scenario": {"name": "split-digits", "tasks": 2, "samples_per_task": 32}}
QUICKER: dict[str, dict[str, Any]] = QUICK | QUICK_ANSWERS | {"generative-replay": {"flow_steps": 2}}
FORGET: dict[str, Any] = {"scenario": {"name": "forget-class-digits", "images": 64}}
KINDS = ("any", "images")
SMALL: dict[str, dict[str, Any]] = {
    "cnn6": {"width": 4},
    "lenet": {"width": 3, "units": 10},
    "resnet18": {"width": 4},
    "slim-resnet18": {"width": 4},
    "vit": {"patch": 4, "width": 12, "depth": 1, "heads": 2},
}

# What waits between steps.
ENGINE = {
    "engine.learner.eval_epoch": "counts of right answers become numbers of R",
    "engine.watch._look": "a loss that is not finite ends the run",
    "engine.watch.after_training_exp": "likewise a weight; and the share of right answers is a number",
}
EXPLICIT = [name for name in STRATEGIES if name.endswith("-fixed")]
PENALTIES = ("ewc", "ewc-online", "l2", "l2-attention", "mas", "random", "rwalk", "si")
REDRAWN = ("cold", "gdumb", "reset-head", "reset-layers", "shrink-only", "shrink-perturb", "window")
HERDED = ("bic", "icarl", "lucir", "podnet", "ss-il", "wa")
BETWEEN: dict[str, tuple[Collection[str], str]] = {
    "strategies._exemplars.take": (HERDED, "herding chooses rows by features"),
    "strategies._frozen_features.after_training_exp": (FROZEN, "whether the backbone has moved, which is refused"),
    "strategies._herding.class_means": (("icarl",), "the largest label, for a table"),
    "strategies._layers.fresh_copy": (REDRAWN, "drawn on the host, so that a seed means the same everywhere"),
    "strategies._quadratic.after_training_exp": (EXPLICIT, "whether it has acted, for a warning"),
    "strategies._quadratic.pull": (PENALTIES, "the largest strength, for a warning"),
    "strategies.a_gem.warnings": (("a-gem",), "whether it has acted, for a warning"),
    "strategies.bic._lines": (("bic",), "which classes corrections are of"),
    "strategies.bic.correct": (("bic",), "the line is fitted on the host"),
    "strategies.fecam.learn": (("fecam",), "the classes of the stage, and rows of each"),
    "strategies.jumpstart.warnings": (("jumpstart",), "whether it has acted, for a warning"),
    "strategies.random_label_pretrain.before_training_exp": (
        ("random-label-pretrain",),
        "whether another epoch is needed",
    ),
    "strategies.ranpac.chosen": (("ranpac",), "the ridge with the least error"),
    "strategies.redo.warnings": (("redo",), "whether it has acted, for a warning"),
    "strategies.weight_clipping.warnings": (("weight-clipping",), "whether it has acted, for a warning"),
}
LOOKED = "numbers for the Result, measured between stages where diagnostics are asked for"
DIAGNOSTICS = {
    "diagnostics.clones.clones": LOOKED,
    "diagnostics.features._entropy": LOOKED,
    "diagnostics.features.information": LOOKED,
    "diagnostics.features.likeness": LOOKED,
    "diagnostics.features.probe": "scikit-learn fits it on the host",
    "diagnostics.gradients.clamped_share": LOOKED,
    "diagnostics.gradients.histogram": LOOKED,
    "diagnostics.holding._decades": LOOKED,
    "diagnostics.holding._number": LOOKED,
    "diagnostics.holding._ratios": LOOKED,
    "diagnostics.holding.holding": LOOKED,
    "diagnostics.pictures.as_pixels": LOOKED,
    "diagnostics.watch._boundary": LOOKED,
    "diagnostics.watch._likeness": LOOKED,
    "diagnostics.watch._look": LOOKED,
    "diagnostics.watch_features._accuracy": LOOKED,
    "diagnostics.watch_features._backwards": LOOKED,
    "diagnostics.watch_features._classes": "the largest label, for classes of different heads apart",
    "diagnostics.watch_features.sensitivity": LOOKED,
}
REQUESTS = {
    "engine.removal.mean_loss": "relearning ends when a loss is low enough",
    "engine.removal.measured": "numbers for the Result, once the run is over",
    "engine.removal.relearning_steps": "relearning ends when a loss is low enough",
}
CONJUGATE = {"strategies._linearised._dot": "conjugate gradients end when the residual is small enough"}
WITHIN = {
    "engine.within.after_training_iteration": "evaluation inside of a stage, where it is asked for",
    "data.benchmark.dataset": "Avalanche keeps the stage's dataset meanwhile, which is made once",
}
TABLES = {"data.columns._blocks": "a table's statistics are taken in on the host, before the stage"}


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    registry.strategy.load("generative-replay")
    monkeypatch.setattr("clbench.strategies.generative_replay.POOL_STEPS", 2)
    with on_meta(monkeypatch) as found:
        yield found


def tiny(strategy: Any, *layers: dict[str, Any]) -> RunConfig:
    return resolve(SETTING, {"strategy": strategy, "seeds": [0]}, *layers)[0]


def quick(name: str) -> dict[str, Any]:
    return {"name": name} | QUICKER.get(name, {})


def go(config: RunConfig, diagnostics: bool = False) -> None:
    assert run(config, Machine(DataPlace.default(), diagnostics=diagnostics)).status == "ok"


@pytest.mark.parametrize("name", STRATEGIES)
def test_strategies(name: str, watch: Watch) -> None:
    go(tiny(quick(name), SPLIT, NEEDS.get(name, {})))
    assert watch.epochs or name == "majority"
    assert watch.read - ENGINE.keys() == {place for place, (names, _) in BETWEEN.items() if name in names}


def test_the_engine(watch: Watch) -> None:
    go(tiny("naive", SPLIT))
    assert watch.read == ENGINE.keys()


@pytest.mark.parametrize("name", ANSWERING)
def test_answers_to_requests(name: str, watch: Watch) -> None:
    go(tiny(quick(name), FORGET), diagnostics=name == "retrain")
    asked = {"engine.removal.measured": ""} | CONJUGATE if name == "linear-forgetting" else REQUESTS
    assert watch.read - ENGINE.keys() - DIAGNOSTICS.keys() == asked.keys()


def test_diagnostics(watch: Watch) -> None:
    """Of a penalty, and of explicit interpolation on a network with convolutions."""
    go(tiny("ewc", SPLIT), diagnostics=True)
    go(tiny("ewc-fixed", SPLIT, {"model": {"name": "lenet"} | SMALL["lenet"]}), diagnostics=True)
    assert {place for place in watch.read if place.startswith("diagnostics.")} == DIAGNOSTICS.keys()


@pytest.mark.parametrize("name", sorted(registry.model.listed))
def test_networks(name: str, watch: Watch) -> None:
    go(tiny("er", SPLIT, {"model": {"name": name} | SMALL.get(name, {})}))
    assert watch.read == ENGINE.keys()


@pytest.mark.parametrize(
    "family", [name for name, one in sorted(registry.scenario.listed.items()) if one.data in KINDS]
)
def test_streams(family: str, watch: Watch) -> None:
    """With augmentation, and evaluation inside of stages."""
    asks, unit = family.startswith("forget"), registry.scenario.listed[family]
    few = {"tasks": 2} if "tasks" in {option.name for option in unit.options} else {}
    options = FORGET["scenario"] if asks else {"samples_per_task": 32} | few
    inside = {} if asks else {"evaluate_steps": 1}
    stream = {"scenario": options | {"name": f"{family}-digits"}, "augment": "flip+crop"} | inside
    go(tiny("retrain" if asks else "er", stream))
    assert watch.read - ENGINE.keys() <= (REQUESTS if asks else WITHIN).keys()


@pytest.mark.parametrize(("family", "name"), [("time", "persistence"), ("domain", "window"), ("tasks", "naive")])
def test_tables(family: str, name: str, watch: Watch) -> None:
    scenario = {"name": f"{family}-noaa-weather"} | ({"periods": 2} if family == "time" else {})
    result = test_time.trained(test_time.table(), test_time.config(name, scenario=scenario, epochs=1))
    assert result.status == "ok"
    assert TABLES.keys() <= watch.read
    assert watch.read <= TABLES.keys() | ENGINE.keys() | (
        {"strategies._layers.fresh_copy"} if name == "window" else set()
    )


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_optimisers(name: str, watch: Watch) -> None:
    go(tiny("er", SPLIT, {"optimizer": {"name": name, "schedule": "cosine", "agc": 0.1}}))
    assert watch.read == ENGINE.keys()


# What must be found.


class InStep(Strategy):
    """Does something in each step."""

    def __init__(self, does: Callable[[Learner], Any]) -> None:
        super().__init__()
        self.does = does

    def before_backward(self, learner: Learner, **kwargs: Any) -> None:
        self.does(learner)


def with_step(does: Callable[[Learner], Any], patch: pytest.MonkeyPatch) -> None:
    patch.setattr("clbench.engine.assemble.plugins_of", lambda config: [InStep(does)])
    go(tiny("naive", SPLIT))


READS: dict[str, Callable[[Learner], Any]] = {
    "item": lambda learner: learner.loss.item(),
    "bool": lambda learner: bool(learner.loss > 1),
    "tolist": lambda learner: learner.mbatch[1].tolist(),
    "cpu": lambda learner: learner.mb_output.cpu(),
    "copied": lambda learner: torch.empty(()).copy_(learner.loss.detach()),
    "nonzero": lambda learner: learner.mbatch[1].nonzero(),
    "mask": lambda learner: learner.mb_output[learner.mbatch[1] > 0],
    "unique": lambda learner: learner.mbatch[1].unique(),
    "equal": lambda learner: torch.equal(learner.mbatch[1], learner.mbatch[1]),
    "bincount": lambda learner: learner.mbatch[1].bincount(),
    "masked_select": lambda learner: learner.mb_output.masked_select(learner.mb_output > 0),
    "repeat_interleave": lambda learner: torch.repeat_interleave(learner.mbatch[1]),
}
MIXES: dict[str, Callable[[Learner], Any]] = {
    "sum": lambda learner: learner.mb_output + torch.zeros(learner.mb_output.shape[1]),
    "product": lambda learner: learner.mb_output @ torch.zeros(learner.mb_output.shape[1], 3),
    "index": lambda learner: learner.mb_output.index_select(0, torch.arange(2)),
}
COPIES: dict[str, Callable[[Learner], Any]] = {
    "to": lambda learner: torch.randperm(4).to(learner.device),
    "written": lambda learner: torch.empty(4, device=learner.device).copy_(torch.zeros(4)),
}
CAUGHT = [
    *((name, does, "reads a value in a step") for name, does in READS.items()),
    *((name, does, "mixes devices") for name, does in MIXES.items()),
    *((name, does, "copies to the device in a step") for name, does in COPIES.items()),
    ("list", lambda learner: learner.mb_output[[0, 1]], "indexes by a list"),
    ("made", lambda learner: torch.tensor([1.0, 2.0], device=learner.device), "host's numbers"),
    (
        "drawn",
        lambda learner: torch.rand(3, generator=learner.random("noise"), device=learner.device),
        "generator of another device",
    ),
]


@pytest.mark.parametrize(("does", "words"), [one[1:] for one in CAUGHT], ids=[one[0] for one in CAUGHT])
def test_faults_are_found(
    does: Callable[[Learner], Any], words: str, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FaultOnDeviceError, match=words):
        with_step(does, monkeypatch)


def test_what_waits_for_nothing_is_let_be(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    def does(learner: Learner) -> None:
        rows = sent(torch.randperm(4, generator=learner.random("rows")), learner.device)
        learner.loss = learner.loss + (learner.mb_output[rows] * torch.tensor(2.0)).sum()
        learner.mb_output.detach().masked_fill_(learner.mb_output > 9, 0.0)

    with_step(does, monkeypatch)
    assert watch.epochs == 2
