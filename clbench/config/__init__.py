"""RunConfig: one validated, canonical, hashable description of a run; YAML, flags and --set share one path.

Layers are merged in this order, later ones winning: the scenario's standard recipe, a YAML file, flags, --set.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from clbench import registry, store
from clbench.config.layers import Section, merge, read_seeds
from clbench.config.names import scenario_parts
from clbench.config.standard import standards
from clbench.data import sources
from clbench.data.description import checked
from clbench.data.sources import DataPlace
from clbench.errors import UserError, did_you_mean
from clbench.registry import Count, Declared, Positive, UnitInterval
from clbench.registry.options import section_model, user_error, validated

# How long a stage lasts: exactly one of these is given.
LENGTHS = ("epochs", "steps", "until_train_accuracy")
MAX_EPOCHS = 100  # where no recipe says after how many epochs a stage gives up
AGC_VERSION = 2  # of optimisers that clip each unit's gradient: since 2 a bias vector is one unit


class RunConfig(BaseModel):
    """One run, with every default resolved. Equal configs have equal run ids.

    ``code``: what the units were ('strategy ewc' → version, origin, sha256). It is no setting: nobody gives it, and it
    is not written with the others.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())

    strategy: Section
    scenario: Section
    model: Section
    optimizer: Section
    epochs: Count | None = Field(default=1, description="how many times each stage passes through its data")
    steps: Count | None = Field(default=None, description="or how many steps each stage has")
    until_train_accuracy: UnitInterval | None = Field(
        default=None, description="or the accuracy on an epoch's own batches with which a stage ends"
    )
    max_epochs: Count | None = Field(
        default=None, description="with until_train_accuracy: after so many epochs a stage gives up"
    )
    batch_size: Count = Field(default=32, description="samples of a batch")
    updates: Count = Field(default=1, description="steps with each batch before the next one comes")
    logits: Literal["all", "seen", "current"] = Field(
        default="all",
        description="class-incremental: train over all classes, those seen so far, or the current stage's",
    )
    augment: Literal["none", "flip", "crop", "flip+crop"] = Field(
        default="none", description="how images are changed at random in training"
    )
    evaluate: Literal["test", "validation"] = Field(
        default="test", description="score on test samples, or on training samples held out (scenario.validation)"
    )
    evaluate_all_every: Count = Field(
        default=1, description="evaluate all tasks after every so many stages and the last; the stage's own always"
    )
    evaluate_steps: Count | None = Field(
        default=None, description="also evaluate old tasks every so many steps inside a stage"
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto", description="number format of training; auto: bf16 only where it is faster"
    )
    pretrain: Section | None = None
    data: Section | None = None
    tuned: Section | None = Field(
        default=None, description="how 'clbench tune' chose settings; written by it, no part of a run's identity"
    )
    seed: Annotated[int, Ge(0)] = 0
    code: dict[str, store.Code] = Field(default={}, exclude=True)

    @model_validator(mode="after")
    def _agree(self) -> RunConfig:
        if self.evaluate == "validation" and not self.scenario.get("validation"):
            raise ValueError(
                "evaluate: 'validation' needs held-out images; add for instance --set scenario.validation=0.1"
            )
        if sum(getattr(self, key) is not None for key in LENGTHS) != 1:
            raise ValueError("give one of epochs, steps and until_train_accuracy, and null for the others")
        if (self.until_train_accuracy is None) != (self.max_epochs is None):
            raise ValueError(
                "max_epochs belongs to until_train_accuracy: after so many epochs a stage gives up. Give both or none"
            )
        return self

    @property
    def run_id(self) -> str:
        """sha256 of the canonical config, without later keys that say nothing and without how it was chosen; with what
        the code of its units says.
        """
        settings = store.shortened(self.model_dump(mode="json", exclude={"tuned"}))
        return store.digest(settings | store.identity(self.code))

    @property
    def result_name(self) -> str:
        """The name that this run's Result has in its folder."""
        return store.name(self.scenario["name"], self.strategy["name"], self.seed, self.run_id)

    def check_code(self) -> None:
        """Raise UserError if a unit is not what it was when this run was planned, or its file has changed since."""
        for unit, now in _code(self.strategy, self.scenario, self.model, self.optimizer).items():
            then = self.code.get(unit, store.Code())
            kind, _, name = unit.partition(" ")
            origin = registry.REGISTRIES[kind].load(name).origin if kind in registry.REGISTRIES else None
            if then.identity == now.identity and not (origin and origin.changed):
                continue
            where = f" ({origin.file})" if origin else ""
            change = f": {then} then, {now} now" if then.identity != now.identity else ""
            raise UserError(
                f"The code of {unit}{where} has changed since this command began{change}. What is written stays; the "
                "same command again takes the code as it is now."
            )


def components(section: Mapping[str, Any]) -> list[tuple[str, Section]]:
    """Split a strategy section into (name, options) pairs, one for each part of a composition."""
    names = store.parts(str(section["name"]))
    if len(names) == 1:
        return [(names[0], {key: value for key, value in section.items() if key != "name"})]
    return [(name, dict(section[name])) for name in names]


def resolve(*layers: Mapping[str, Any], place: DataPlace | None = None) -> list[RunConfig]:
    """Merge layers over the scenario's recipe and validate: one RunConfig per seed.

    ``place``: where data are looked up, since a table has other recipes than an image folder. Raises UserError that
    names the key, what was expected, and the nearest valid name.
    """
    given = merge(*layers)
    seeds = read_seeds(given.pop("seeds", 1))
    known = [key for key in RunConfig.model_fields if key not in ("seed", "code")]
    if "tune" in given:
        raise UserError(
            "tune: this block is for 'clbench tune', which writes a recipe. Run that, or leave the block out."
        )
    if "name" not in given.get("strategy", {}):
        raise UserError("No strategy is named. Use --strategy ewc-fixed, or see 'clbench list strategies'.")
    scenario_name = str(given.get("scenario", {}).get("name", "split-digits"))
    said = checked(given.get("data") or {}, "data")
    if "path" in said and scenario_name in registry.scenario.listed:
        scenario_name += f"-{sources.name_of(said['path'])}"
        given["scenario"]["name"] = scenario_name
    setting = standards().get(scenario_name)
    if setting is not None:
        given["scenario"]["name"] = scenario_name = setting.scenario
    family, source = scenario_parts(scenario_name)
    if family == source and said:
        raise UserError(f"data.{next(iter(said))}: '{family}' brings data of its own. Leave it out.")
    for part in store.parts(str(given["strategy"]["name"])):
        if "." not in part and part not in registry.strategy:
            registry.strategy.check(part)  # before anything slow is imported
    recipe = {"scenario": {"name": scenario_name}} | _recipe(
        registry.scenario.load(family),
        source,
        family != source and sources.is_vectors(source, place or DataPlace.default(), said),
    )
    recipe["scenario"] = {"name": scenario_name} | recipe["scenario"]
    if setting is not None:
        recipe = setting.over(recipe)
    for key, value in given.items():
        if key not in known:
            from clbench.config import keys  # which need this module

            raise UserError(keys.unknown(key, value, merge(recipe, given)))
    merged = merge(recipe, given)
    merged |= _length(given, recipe)
    _divide(given.get("scenario", {}), merged["scenario"])
    resolved = merged | {
        "strategy": _strategy_section(merged["strategy"]),
        "scenario": _scenario_section(merged["scenario"], family),
        "model": _model_section(merged["model"]),
        "optimizer": _optimizer_section(merged["optimizer"]),
        "pretrain": _pretrain_section(merged.get("pretrain")),
        "data": checked(merged.get("data") or {}, "data") or None,
    }
    resolved["code"] = _code(*(resolved[section] for section in ("strategy", "scenario", "model", "optimizer")))
    try:
        return [RunConfig.model_validate(resolved | {"seed": seed}) for seed in seeds]
    except ValidationError as error:
        raise user_error("", error, known) from None


def _code(strategy: Section, scenario: Section, model: Section, optimizer: Section) -> dict[str, store.Code]:
    """What the units of a run are, as they are loaded."""
    family, _ = scenario_parts(scenario["name"])
    units = [("strategy", name, options) for name, options in components(strategy)]
    found: dict[str, store.Code] = {}
    for kind, name, options in [*units, ("scenario", family, scenario), ("model", model["name"], model)]:
        unit = registry.REGISTRIES[kind].load(name)
        origin = unit.origin
        source, sha256 = (origin.source, origin.sha256) if origin else (None, None)
        found[f"{kind} {name}"] = store.Code(version=unit.version_with(options), source=source, sha256=sha256)
    if optimizer.get("agc") is not None:
        found[f"optimizer {optimizer['name']}"] = store.Code(version=AGC_VERSION)
    return found


def _length(given: Section, recipe: Section) -> Section:
    """How long a stage lasts, as given, else as in the recipe; what was not given beside it is null."""
    source = given if any(given.get(key) is not None for key in LENGTHS) else recipe
    length = {key: source.get(key, given.get(key)) for key in LENGTHS}
    cap = None if length["until_train_accuracy"] is None else recipe.get("max_epochs", MAX_EPOCHS)
    return length | {"max_epochs": given.get("max_epochs", cap)}


def _divide(given: Section, scenario: Section) -> None:
    """Let the classes of each task, where they are given, stand in for the recipe's number of tasks."""
    if any(given.get(key) is not None for key in ("first", "then")):
        scenario["tasks"] = given.get("tasks")


def _recipe(scenario: Declared, source: str, vectors: bool) -> Section:
    """The standard recipe of a scenario: that of its dataset, or the one for any other vectors or images."""
    recipes: Mapping[str, Section] = scenario.attributes["recipes"]
    known = registry.scenario.listed.get(scenario.name)
    fits, kind = known.data if known else "any", "tables" if vectors else "images"
    if fits not in ("any", "grouped", kind):
        raise UserError(
            f"scenario: '{scenario.name}' is for {fits}, and '{source}' is none of them. 'clbench list scenarios' "
            "shows what fits."
        )
    recipe = recipes.get(source, recipes["vectors" if vectors else "*"])
    return {key: dict(value) if isinstance(value, dict) else value for key, value in recipe.items()}


def _strategy_section(section: Section) -> Section:
    name = str(section["name"])
    names = store.parts(name)
    if len(set(names)) < len(names):
        raise UserError(f"strategy: '{name}' names a method twice. Compose different methods.")
    units = {part: registry.strategy.load(part) for part in names}
    options = {key: value for key, value in section.items() if key != "name"}
    if len(names) == 1:
        return {"name": name} | validated("strategy", units[name].schema, options)
    assigned = {part: _as_options(part, options.pop(part, {})) for part in names}
    for key, value in options.items():
        takers = [part for part in names if key in units[part].schema.model_fields]
        if len(takers) != 1:
            fields = [field for part in names for field in units[part].schema.model_fields]
            hint = (
                f"several of them have it; write strategy.{takers[0]}.{key}"
                if takers
                else f"none of them has it.{did_you_mean(key, fields)}"
            )
            raise UserError(f"strategy.{key}: for the composition '{name}', {hint}")
        assigned[takers[0]][key] = value
    return {"name": name} | {part: validated(f"strategy.{part}", units[part].schema, assigned[part]) for part in names}


def _as_options(part: str, value: Any) -> Section:
    if not isinstance(value, dict):
        raise UserError(f"strategy.{part}: expected options such as {{lam: 100}}, got {value!r}.")
    return dict(value)


def _scenario_section(section: Section, family: str) -> Section:
    from clbench.data.streams import common_options

    options = {key: value for key, value in section.items() if key != "name"}
    unit = registry.scenario.load(family)
    common = section_model("scenario", common_options)
    mine = {key: value for key, value in options.items() if key not in common.model_fields}
    shared = {key: value for key, value in options.items() if key in common.model_fields}
    known = [*unit.schema.model_fields, *common.model_fields]
    return (
        {"name": section["name"]}
        | validated("scenario", unit.schema, mine, known)
        | validated("scenario", common, shared)
    )


def _model_section(section: Section) -> Section:
    options = {key: value for key, value in section.items() if key != "name"}
    classifier = options.pop("classifier", "auto")
    choices = ("auto", "single", "growing", "multi")
    if classifier not in choices:
        raise UserError(f"model.classifier: expected one of {', '.join(choices)}, got {classifier!r}.")
    declared = registry.model.load(str(section["name"]))
    known = [*declared.schema.model_fields, "classifier"]
    return {"name": declared.name, "classifier": classifier} | validated("model", declared.schema, options, known)


def _optimizer_section(section: Section) -> Section:
    from clbench import optimizers

    options = {key: value for key, value in section.items() if key != "name"}
    schema = optimizers.declared(str(section["name"])).schema
    return {"name": section["name"]} | validated("optimizer", schema, options)


def pretraining(
    *,
    epochs: Count = 20,
    classes: Count | None = None,
    lr: Positive = 0.05,
    batch_size: Count = 128,
    augment: Literal["none", "flip", "crop", "flip+crop"] = "flip+crop",
) -> None:
    """Declare the options of ``pretrain``: a dataset learnt by SGD with momentum 0.9, weight decay 5e-4 and a cosine
    schedule.

    epochs: passes through it. classes: its first so many (null: all). lr: learning rate at the start.
    batch_size: images of a batch. augment: how they are changed at random.
    """


def _pretrain_section(given: Any) -> Section | None:
    """A dataset to learn first, or a file of weights, which is known by its sha256."""
    if given is None:
        return None
    section = {"name": given} if isinstance(given, str) else dict(given)
    name = str(section.pop("name", ""))
    if name.endswith(".safetensors") or "/" in name or Path(name).is_file():
        known = section.pop("sha256", None)
        if section:
            raise UserError(f"pretrain.{next(iter(section))}: a file of weights has no options.")
        return {"name": name, "sha256": known or _sha256(Path(name))}
    if not name:
        raise UserError("pretrain: expected a dataset such as cifar10, or a file of weights that ends in .safetensors.")
    return {"name": name} | validated("pretrain", section_model("pretrain", pretraining), section)


def _sha256(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"pretrain: {file} cannot be read ({error.strerror}). Check the path.") from None
