"""``clbench.run``: train a strategy on a scenario, from a program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from clbench import registry
from clbench.api.audience import Program
from clbench.api.caller import undisturbed
from clbench.api.carry import Ended, Order, carry_out
from clbench.api.results import Results
from clbench.api.settings import Given, Seeds, layers_of
from clbench.api.streams import Stream
from clbench.errors import UserError

if TYPE_CHECKING:
    from clbench.api.networks import Network
    from clbench.avalanche import SupervisedPlugin

Tracker = Literal["csv", "tensorboard", "wandb", "mlflow"]


def run(
    strategy: Given | SupervisedPlugin | None = None,
    scenario: Given | Stream | None = None,
    *,
    model: Given | Network | None = None,
    seeds: Seeds | None = None,
    results: str | Path | None = None,
    config: str | Path | Mapping[str, Any] | None = None,
    tuned: bool = False,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    threads: int | None = None,
    resume: bool = False,
    checkpoint: float = 5.0,
    data_root: str | Path | None = None,
    offline: bool = False,
    plugin: str | Path | Sequence[str | Path] = (),
    logger: Tracker | Sequence[Tracker] = (),
    log_dir: str | Path = "logs",
    diagnostics: bool = False,
    save_model: bool = False,
    quiet: bool = False,
    **settings: Any,
) -> Results:
    """Train a strategy on a scenario, one run for each seed, as ``clbench run`` does; R is the same, bit for bit.

    Units are names, or mappings with options as in YAML: ``{"name": "split-digits", "tasks": 5}``. A strategy may be
    an object, too, of a clbench Strategy or an Avalanche plugin: each seed works on a copy of it. The scenario may be a
    ``stream`` of arrays. The model may be a torch module, with the weights of which each seed begins, or a class or
    function that makes one, anew for each seed; what was given stays as it is. ``settings`` are other keys of a config
    (``epochs=2``, ``optimizer={"lr": 0.1}``) and options of the strategy (``lam=5``); they win over ``config``, a
    mapping or YAML file. ``seeds``: how many, or which; 1 where nothing says so.

    Nothing is written without ``results``, a folder or URL. With it Ctrl-C keeps a checkpoint before KeyboardInterrupt
    is raised, and the same call with ``resume=True`` goes on; ``checkpoint``: minutes between two inside a task. Random
    generators, threads and all that torch keeps for a process are afterwards what they were. ``save_model``: the final
    weights are kept, too, beside each Result. ``quiet``: no progress.

    Raises UserError, with the command line's sentence, for what can be corrected. A run that diverges is no error: its
    ``status`` says so.
    """
    with undisturbed(), _named(strategy) as (section, made), _network(model) as network, _data(scenario) as data:
        units = {"strategy": section, "model": network, "seeds": seeds, **data}
        order = Order(
            layers_of(config, units, settings, made),
            tuned=tuned,
            device=_one_of(device, "device", ("auto", "cpu", "cuda", "mps")),
            threads=threads,
            results=results,
            resume=resume,
            minutes=checkpoint,
            data_root=data_root,
            offline=offline,
            plugins=[plugin] if isinstance(plugin, str | Path) else plugin,
            trackers=[logger] if isinstance(logger, str) else logger,
            log_dir=log_dir,
            diagnostics=diagnostics,
            weights=save_model,
        )
        done = carry_out(order, Program(quiet))
    return Results.of((ended.result, _path(ended)) for ended in done)


@contextmanager
def _named(strategy: Given | SupervisedPlugin | None) -> Iterator[tuple[Given | None, bool]]:
    """A strategy as a config has it, and whether it is an object; that is known by its name while in here."""
    if strategy is None or isinstance(strategy, str | Mapping):
        yield strategy, False
        return
    from clbench.api.instances import lent

    unit = lent(strategy)
    with unit.known():
        yield unit.section, True


@contextmanager
def _network(model: Given | Network | None) -> Iterator[Given | None]:
    """A model as a config has it; an object is known by that name while in here."""
    if model is None or isinstance(model, str | Mapping):
        yield model
        return
    from clbench.api.networks import lent

    unit = lent(model)
    with unit.known(registry.model):
        yield unit.section


@contextmanager
def _data(scenario: Given | Stream | None) -> Iterator[Mapping[str, Any]]:
    """A scenario as a config has it, with its data; those of a stream are known while in here."""
    if not isinstance(scenario, Stream):
        yield {"scenario": scenario}
        return
    with scenario.known():
        yield scenario.sections


def _one_of(value: str, name: str, known: Sequence[str]) -> str:
    if value not in known:
        raise UserError(f"{name}: expected one of {', '.join(known)}, got {value!r}.")
    return value


def _path(ended: Ended) -> Path | None:
    """Where a Result can be read again; None for one behind a URL."""
    return None if ended.where is None or "://" in ended.where else Path(ended.where)
