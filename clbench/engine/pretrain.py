"""Networks that begin with learnt features: a stage of ordinary training before the stream, or a user's own weights.

Weights are kept as safetensors, a format that can hold tensors and nothing that runs. Heads are dropped.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from clbench import optimizers, store
from clbench.config import RunConfig
from clbench.config.names import scenario_parts
from clbench.data import cache
from clbench.data.benchmark import forget, make_benchmark
from clbench.data.dataset import Dataset
from clbench.data.sources import DataPlace
from clbench.data.streams import Stream, whole
from clbench.data.tensors import ResidentStream
from clbench.errors import Remark, UserError

if TYPE_CHECKING:
    from clbench.engine.learner import ResidentLearner

MakeLearner = Callable[[RunConfig, Stream, Dataset], "ResidentLearner"]
FORMAT = 1
HEADS = ("classifier", "head.", "fc.")
INSIDE = "backbone."


@dataclass(frozen=True)
class Pretrained:
    """Weights of a backbone by name, and the sha256 of the file they came from."""

    weights: dict[str, Tensor]
    fingerprint: str


def pretrained(config: RunConfig, place: DataPlace, make_learner: MakeLearner) -> Pretrained | None:
    """Return what a run's network begins with: cached weights, trained now if there are none, or a user's own file.

    Raises UserError for data or a file that cannot be used.
    """
    options = config.pretrain
    if options is None:
        return None
    if options.get("sha256") is not None:
        return _read(Path(options["name"]), options["sha256"])
    data = cache.load(options["name"], place, config.scenario["image_size"])
    if (options["classes"] or 0) > len(data.classes):
        raise UserError(f"pretrain.classes: {data.name} has {len(data.classes)} classes, not {options['classes']}.")
    recipe = _recipe(config)
    keys = {"model", "optimizer", "epochs", "batch_size", "augment", "pretrain"}
    model = {unit: code for unit, code in recipe.code.items() if unit.startswith("model ")}
    settings = recipe.model_dump(mode="json", include=keys) | store.identity(model)
    number = store.digest({"settings": settings, "data": data.fingerprint, "shape": data.shape, "format": FORMAT})
    file = place.cache / "pretrained" / f"{options['name']}-{number[:16]}.safetensors"
    if not file.exists():
        warnings.warn(Remark(f"pretraining on {options['name']}, kept in {file}."), stacklevel=2)
        _write(file, _train(recipe, data, make_learner))
    return _read(file, None)


def check(config: RunConfig, stream: Stream) -> None:
    """Look for classes that the weights have learnt before the stream shows them.

    Raises UserError where tasks are left out and others have such classes: leaving out is to keep the two apart. Warns
    (Remark) where none is left out.
    """
    options = config.pretrain or {}
    _, source = scenario_parts(config.scenario["name"])
    if options.get("classes") is None or options["name"] != source:
        return
    some = options["classes"] < len(stream.tasks[0].labels)  # all: nobody means to keep any apart
    known = {c for task in stream.tasks for c in task.source_classes if some and c < options["classes"]}
    if not known:
        return
    seen = f"the stream has {len(known)} of the {options['classes']} classes of '{source}' that pretraining has learnt"
    if config.scenario["skip"]:
        raise UserError(
            f"pretrain.classes: {seen}, though scenario.skip leaves out {config.scenario['skip']} tasks. Add --set "
            "scenario.class_order=fixed (or first-fixed), and skip as many tasks as hold those classes."
        )
    warnings.warn(Remark(f"{seen}. To leave them out: scenario.class_order=fixed and scenario.skip."), stacklevel=2)


def load(backbone: nn.Module, found: Pretrained, layer: str | None = None) -> None:
    """Put weights into a backbone; UserError if they are another network's. ``layer`` was its classifier's name.

    What is called as a classifier is dropped, unless the backbone has it too.
    """
    own = backbone.state_dict()
    heads = HEADS if layer is None else (*HEADS, f"{layer}.")
    weights = {name: value for name, value in found.weights.items() if name in own or not name.startswith(heads)}
    missing = [name for name in own if name not in weights]
    foreign = [name for name in weights if name not in own]
    if missing or foreign:
        name, where = (missing[0], "lacks") if missing else (foreign[0], "has, and this network has not,")
        raise UserError(
            f"pretrain: the weights are another network's: the file {where} '{name}' "
            f"({len(missing)} of {len(own)} tensors missing, {len(foreign)} foreign). Use the model that made them."
        )
    for name, value in weights.items():
        if own[name].shape != value.shape:
            raise UserError(
                f"pretrain: the weights are another network's: '{name}' is {tuple(value.shape)} in the file and "
                f"{tuple(own[name].shape)} here. Use the model and image size that made them."
            )
    backbone.load_state_dict(weights)


def _recipe(config: RunConfig) -> RunConfig:
    """The run that makes the weights: same model, one seed whatever the run's, so that all seeds share them."""
    assert config.pretrain is not None
    options = config.pretrain
    declared = optimizers.declared("sgd")
    chosen = declared.schema(lr=options["lr"], momentum=0.9, weight_decay=5e-4, schedule="cosine")
    optimizer = {"name": declared.name} | chosen.model_dump(mode="json")
    return config.model_copy(
        update={
            "optimizer": optimizer,
            "epochs": options["epochs"],
            "steps": None,
            "until_train_accuracy": None,
            "max_epochs": None,
            "batch_size": options["batch_size"],
            "augment": options["augment"],
            "logits": "all",
            "seed": 0,
            "model": config.model | {"classifier": "single"},
        }
    )


def _train(recipe: RunConfig, data: Dataset, make_learner: MakeLearner) -> dict[str, Tensor]:
    """Train on the first classes of a dataset, all at once."""
    assert recipe.pretrain is not None
    stream = whole(data, recipe.pretrain["classes"])
    learner = make_learner(recipe, stream, data)
    resident = ResidentStream(stream, data, learner.device, recipe.scenario["normalisation"])
    resident.see([0])
    benchmark = make_benchmark(resident, [[0]], "test")
    (experience,) = benchmark.streams["train"]
    learner.fit(experience)
    forget(benchmark)
    backbone: Any = learner.model.backbone
    return {name: value.detach().cpu().contiguous() for name, value in backbone.state_dict().items()}


def _write(file: Path, weights: dict[str, Tensor]) -> None:
    from safetensors.torch import save

    try:
        store.write_bytes(file, save(weights, metadata={"format": "pt"}))
    except OSError as error:
        raise UserError(
            f"pretrain: {file} cannot be written ({error.strerror}). Make room, or name another place with "
            "$CLBENCH_CACHE."
        ) from None


def weights_in(file: Path, key: str) -> dict[str, Tensor]:
    """Return weights of a safetensors file; UserError, naming ``key``, if it is none.

    A leading 'backbone.' of names is left out, and with it the classifier beside the backbone.
    """
    return _read(file, None, key).weights


def _read(file: Path, expected: str | None, key: str = "pretrain") -> Pretrained:
    from safetensors import SafetensorError
    from safetensors.torch import load as read

    try:
        content = file.read_bytes()
        weights = read(content)
    except OSError as error:
        raise UserError(f"{key}: {file} cannot be read ({error.strerror}). Check the path.") from None
    except (SafetensorError, ValueError, KeyError) as error:
        raise UserError(
            f"{key}: {file} is no safetensors file ({error}). Nothing in it was run. Convert it where you trust it: "
            "safetensors.torch.save_file(model.backbone.state_dict(), 'weights.safetensors')."
        ) from None
    fingerprint = hashlib.sha256(content).hexdigest()
    if expected is not None and fingerprint != expected:
        raise UserError(f"{key}: {file} has changed: its sha256 is not {expected[:16]}…. Run the command again.")
    whole = any(name.startswith(INSIDE) for name in weights)
    kept = {
        name.removeprefix(INSIDE): value for name, value in weights.items() if not (whole and name.startswith(HEADS))
    }
    return Pretrained(kept, fingerprint)
