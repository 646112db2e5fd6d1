"""What a Result is: one self-describing run. The only thing that training hands to telling."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from clbench.roles import Role

SCHEMA_VERSION = 7
CONFUSION_CELLS = 2000  # of all tasks together that a Result holds: about 30 KB


Cell = tuple[int, int, int]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())


class MetricValue(_Part):
    """A metric's value, with the version of its definition. None: not defined for this run."""

    value: float | None
    version: int


class DataInfo(_Part):
    """The data of a run. ``official``: equal to the official release, or None where that cannot be told.

    ``imbalance``: how many times an even share of a task's scored samples the largest class has, in the task where that
    is most; 1: classes are of one size. None where an older clbench did not say. ``columns``: what a table's are.
    """

    name: str
    fingerprint: str
    official: bool | None
    train_samples: list[int]
    test_samples: list[int]
    imbalance: float | None = None
    columns: dict[str, Any] | None = None


class ScenarioInfo(_Part):
    """The stream of a run: family version, a hash of class order, permutations and samples, and each task's classes."""

    version: int
    stream: str
    classes: list[list[int]]


class ModelInfo(_Part):
    """The network of a run. ``pretrained``: sha256 of the weights its backbone began with, or None."""

    parameters: int
    classifier: str
    pretrained: str | None = None


class Code(_Part):
    """What a unit was when a run used it: the version of its definition, and the code of units that are not clbench's.

    ``source`` names where the code came from, a file ('my_method.py') or a package and its version; None: clbench
    itself, whose version and commit are in the environment. ``sha256`` is that of the source text.
    """

    version: int = 1
    source: str | None = None
    sha256: str | None = None

    @property
    def package(self) -> str | None:
        """The package and version that the code came from; None for clbench and for files, whose names say nothing."""
        return None if self.source is None or self.source.endswith(".py") else self.source

    @property
    def identity(self) -> dict[str, Any]:
        """What of it is part of a run's identity; nothing for clbench's own units at version 1."""
        found = {"package": self.package, "sha256": self.sha256, "version": self.version if self.version > 1 else None}
        return {key: value for key, value in found.items() if value is not None}

    def __str__(self) -> str:
        """Return it for people: 'version 2', 'code 1a2b3c4d5e6f', 'avalanche-lib 0.6.0, code 1a2b3c4d5e6f'."""
        version = f"version {self.version}" if self.version > 1 or self.sha256 is None else None
        code = f"code {self.sha256[:12]}" if self.sha256 is not None else None
        return ", ".join(part for part in (version, self.package, code) if part is not None)


class StageCost(_Part):
    """What one stage cost: seconds for making its tensors, training (with what the strategy measures at its end) and
    evaluating every task; samples per second in training; peak memory so far in MiB; steps of the optimiser and
    epochs; whether training accuracy reached the threshold (None: there was none to reach). None, too, where an older
    clbench did not measure it.

    What the load of the machine does not change: ``samples`` that went through the network with gradients, replayed and
    repeated ones included; bytes of samples that the method keeps at the stage's end, with labels and logits; bytes of
    everything else that it keeps beside network and optimiser.
    """

    tasks: list[int]
    prepare_seconds: float | None
    train_seconds: float
    evaluate_seconds: float
    samples_per_second: float
    peak_memory_mib: float
    steps: int | None
    epochs: int | None
    reached: bool | None
    samples: int | None
    memory_bytes: int | None
    state_bytes: int | None


class Result(_Part):
    """One run. ``accuracy`` is R: row t has the accuracy on every task after stage t; row 0 is before training; None
    where a task was not evaluated.

    ``confusion`` has for each task what its scored samples were taken for after the last stage. Samples whose label the
    stream does not know are in no cell.

    A diverged run has the rows that it finished, ``reason``, and no metrics.
    """

    schema_version: Literal[7] = 7
    run_id: str = Field(description="sha256 of the config and of what its code says; equal runs have equal ids")
    role: Role = Field(description="what the strategy is in a comparison")
    status: Literal["ok", "diverged"] = Field(description="how the run ended")
    reason: str | None = Field(default=None, description="why it diverged")
    created: str = Field(description="when it ended, ISO 8601, UTC")
    seed: int = Field(description="what all its random numbers come from")
    config: dict[str, Any] = Field(description="every key of its configuration, defaults filled in")
    tuned: dict[str, Any] | None = Field(default=None, description="how 'clbench tune' chose settings of this run")
    scenario: ScenarioInfo = Field(description="the stream of tasks")
    data: DataInfo = Field(description="the dataset")
    model: ModelInfo = Field(description="the network")
    accuracy: list[list[float | None]] = Field(description="R[t][j], in [0, 1], or null: not evaluated")
    confusion: list[list[Cell]] | None = Field(
        default=None,
        description="per task, [label, answer, count] of each cell that is not empty, or null: more than "
        f"{CONFUSION_CELLS:,} cells, a diverged run, or an older clbench",
    )
    online_accuracy: list[float] | None = Field(
        description="per stage, the share of right answers on each batch before it is trained on"
    )
    metrics: dict[str, MetricValue] = Field(description="every metric by name")
    seconds: float = Field(description="wall-clock time of the whole run")
    cost: list[StageCost] = Field(description="what each stage cost")
    diagnostics: dict[str, Any] = Field(description="what --diagnostics measured; empty without it")
    warnings: list[str] = Field(default=[], description="what a reader of the numbers must know, '<kind>: <sentence>'")
    code: dict[str, Code] = Field(default={}, description="'<kind> <name>' of each unit → what it was")
    environment: dict[str, Any] = Field(description="versions, commit, device and threads")

    @property
    def strategy(self) -> str:
        """The strategy's name, components joined by '+'."""
        return str(self.config["strategy"]["name"])

    @property
    def scenario_name(self) -> str:
        """The scenario's name."""
        return str(self.config["scenario"]["name"])


def identity(code: Mapping[str, Code]) -> dict[str, Any]:
    """Return what the code of a run's units adds to its config in the run id; nothing where it says nothing."""
    said = {unit: one.identity for unit, one in code.items() if one.identity}
    return {"code": said} if said else {}


def parts(name: str) -> list[str]:
    """Split a composition such as 'lwf+ewc' into its parts; a '++' belongs to the name before it, as in 'der++'."""
    return re.split(r"(?<=\+\+)\+|(?<!\+)\+(?![+]|$)", name)


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested sections as dotted keys."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical(value: Any) -> str:
    """Return JSON that is the same for equal values: sorted keys, no spaces, no NaN."""
    return _ENCODER.encode(value)


def is_plain(value: Any) -> bool:
    """Say whether a value can be written as canonical JSON."""
    try:
        canonical(value)
    except (TypeError, ValueError):
        return False
    return True


def digest(value: Any) -> str:
    """Return the sha256 of a value's canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()
