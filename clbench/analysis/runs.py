"""What the telling half needs of each Result, small enough to hold a hundred thousand of them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from clbench import metrics, store
from clbench.analysis.costs import memory_of, samples_of, state_of
from clbench.roles import Role
from clbench.store import Result, canonical
from clbench.store.warnings import kind_of, spoilt

# What two machines must share for their R to agree bit for bit.
ENVIRONMENT = ("torch", "avalanche", "system", "device", "device_name", "threads", "precision", "memory_format")


@dataclass(frozen=True, slots=True)
class Run:
    """One Result, without its matrix. Texts that many runs share are shared in memory.

    ``setup`` is the canonical config without the seed, with the number format that ``precision: auto`` came to and with
    what the code of strategy and network was (``code.strategy``, ``code.model``), so that runs in other formats and of
    other code are never pooled; ``kind`` is what must be equal for two runs to be compared; ``accuracy`` is a hash of
    R; ``source`` is the folder it was read from, where several stand side by side; ``warnings`` are the Result's,
    '<kind>: <sentence>' each. ``samples``, ``memory`` and ``state`` are the whole run's, None where an older clbench
    did not count them, or (``imbalance``, of the test classes) say it.
    """

    run_id: str
    path: Path | None
    source: str
    created: str
    status: str
    seed: int
    scenario: str
    strategy: str
    setup: str
    kind: str
    environment: str
    accuracy: str
    seconds: float
    metrics: dict[str, float | None]
    warnings: tuple[str, ...] = ()
    role: Role = "method"
    samples: int | None = None
    memory: int | None = None
    state: int | None = None
    imbalance: float | None = None

    @property
    def spoilt(self) -> bool:
        """Whether its warnings keep its numbers from winning."""
        return spoilt(map(kind_of, self.warnings))

    def value(self, column: str) -> float | None:
        """A metric's value, or what the whole run cost; None where it is not defined."""
        match column:
            case "seconds":
                return self.seconds
            case "samples":
                return self.samples
            case "memory":
                return self.memory
            case "state":
                return self.state
        return self.metrics.get(column)


def run_of(result: Result, path: Path | None = None, source: str = "") -> Run:
    """Return what is needed of a Result."""
    environment = {key: result.environment.get(key) for key in ENVIRONMENT}
    return Run(
        run_id=result.run_id,
        path=path,
        source=source,
        created=result.created,
        status=result.status,
        seed=result.seed,
        scenario=shared(result.scenario_name),
        strategy=shared(result.strategy),
        setup=shared(canonical(_setup(result))),
        kind=shared(canonical(_comparable(result))),
        environment=shared(canonical(environment)),
        accuracy=store.digest(result.accuracy),
        seconds=result.seconds,
        metrics={shared(name): found.value for name, found in result.metrics.items()},
        warnings=tuple(map(shared, result.warnings)),
        role=result.role,
        samples=samples_of(result.cost),
        memory=memory_of(result.cost),
        state=state_of(result.cost),
        imbalance=result.data.imbalance,
    )


def setting(setup: str, key: str) -> str:
    """Return a key of a config as text, a section by its name, and '–' where the config has no such key."""
    found = flat_setup(setup)
    value = found.get(key, found.get(f"{key}.name", "–"))
    return short(value)


def short(value: Any) -> str:
    """A value of a config as text."""
    return value if isinstance(value, str) else canonical(value)


@lru_cache(maxsize=4096)
def flat_setup(setup: str) -> dict[str, Any]:
    """Return a canonical config as dotted keys."""
    return store.flat(json.loads(setup))


@lru_cache(maxsize=4096)
def beside_strategy(setup: str) -> str:
    """Return a canonical config without its strategy and the strategy's code."""
    content = json.loads(setup)
    content["code"].pop("strategy", None)
    return canonical({key: value for key, value in content.items() if key != "strategy"})


def cells(runs: Iterable[Run]) -> dict[tuple[str, str], list[Run]]:
    """Group runs by configuration and source; in order of seeds."""
    groups: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: run.seed):
        groups[run.setup, run.source].append(run)
    return groups


def by_seed(runs: Iterable[Run], column: str) -> dict[int, float]:
    """Return a column's value of each seed; empty if a run has none."""
    values = {run.seed: run.value(column) for run in runs}
    return {seed: value for seed, value in values.items() if value is not None} if None not in values.values() else {}


def _setup(result: Result) -> dict[str, Any]:
    """The config of all seeds with the number format that the machine chose, and its code."""
    config = {key: value for key, value in result.config.items() if key != "seed"}
    if config.get("precision") == "auto":
        config["precision"] = result.environment.get("precision", "auto")
    strategies = store.parts(result.strategy)
    model = result.config.get("model", {}).get("name")
    code = {"strategy": _code(result, "strategy", strategies), "model": _code(result, "model", [model])}
    optimizer = result.config.get("optimizer", {})
    if optimizer.get("agc") is not None:  # what else an optimiser does has no version
        code["optimizer"] = _code(result, "optimizer", [optimizer["name"]])
    return config | {"code": code}


def _code(result: Result, kind: str, names: Sequence[str]) -> str:
    """What units of a Result were, in words; what an older Result does not tell was at version 1."""
    found = [str(result.code.get(f"{kind} {name}", store.Code())) for name in names]
    return found[0] if len(found) == 1 else "; ".join(f"{name}: {one}" for name, one in zip(names, found, strict=True))


def _comparable(result: Result) -> dict[str, Any]:
    """What must be equal for two Results to be ranked together."""
    options = {f"scenario.{key}": value for key, value in result.config["scenario"].items() if key != "name"}
    # Only versions other than today's tell apart: a run that lacks a newer metric, or diverged, has no value for it.
    today = {name: metric.version for name, metric in metrics.METRICS.items()}
    versions = {f"{n} version": m.version for n, m in result.metrics.items() if m.version != today.get(n)}
    foreign = [code for unit, code in result.code.items() if unit.startswith("scenario ") and code.sha256 is not None]
    return {
        **options,
        **versions,
        **({"scenario code": str(foreign[0])} if foreign else {}),
        "scenario version": result.scenario.version,
        "data": result.data.fingerprint[:12],
        "evaluate": result.config.get("evaluate", "test"),
    }


_texts: dict[str, str] = {}


def shared(text: str) -> str:
    """Return one object for equal texts."""
    return _texts.setdefault(text, text)
