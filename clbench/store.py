"""Result ⇄ JSON: the only door between training and telling. Imports no torch."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from clbench.errors import UserError

SCHEMA_VERSION = 1


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())


class MetricValue(_Part):
    """A metric's value, with the version of its definition. None: not defined for this run."""

    value: float | None
    version: int


class DataInfo(_Part):
    """The data of a run. ``official``: equal to the official release, or None where that cannot be told."""

    name: str
    fingerprint: str
    official: bool | None
    train_samples: list[int]
    test_samples: list[int]


class ScenarioInfo(_Part):
    """The stream of a run: family version, a hash of class order, permutations and samples, and each task's classes."""

    version: int
    stream: str
    classes: list[list[int]]


class ModelInfo(_Part):
    """The network of a run."""

    parameters: int
    classifier: str


class StageCost(_Part):
    """What one stage cost: seconds for making its tensors, training (with what the strategy measures at its end) and
    evaluating every task; samples per second in training; peak memory so far in MiB.
    """

    tasks: list[int]
    prepare_seconds: float = 0.0
    train_seconds: float
    evaluate_seconds: float
    samples_per_second: float
    peak_memory_mib: float


class Result(_Part):
    """One run. ``accuracy`` is R: row t has the accuracy on every task after stage t; row 0 is before training.

    A diverged run has the rows that it finished, ``reason``, and no metrics.
    """

    schema_version: Literal[1] = 1
    run_id: str
    status: Literal["ok", "diverged"]
    reason: str | None = None
    created: str
    seed: int
    config: dict[str, Any]
    scenario: ScenarioInfo
    data: DataInfo
    model: ModelInfo
    accuracy: list[list[float]] = Field(description="R[t][j], in [0, 1]")
    metrics: dict[str, MetricValue]
    seconds: float
    cost: list[StageCost]
    diagnostics: dict[str, Any]
    environment: dict[str, Any]

    @property
    def strategy(self) -> str:
        """The strategy's name, components joined by '+'."""
        return str(self.config["strategy"]["name"])

    @property
    def scenario_name(self) -> str:
        """The scenario's name."""
        return str(self.config["scenario"]["name"])


def canonical(value: Any) -> str:
    """Return JSON that is the same for equal values: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """Return the sha256 of a value's canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def path_of(result: Result, folder: Path) -> Path:
    """Return where a Result belongs: ``<folder>/<scenario>/<strategy>/s<seed>-<run id>.json``."""
    safe = "".join(c if c.isalnum() or c in "+-_." else "_" for c in result.strategy)[:80]
    return folder / result.scenario_name / safe / f"s{result.seed}-{result.run_id[:12]}.json"


def write(result: Result, folder: Path) -> Path:
    """Write a Result atomically, with a checksum, and return its path.

    Raises UserError if the folder cannot be written.
    """
    content = result.model_dump(mode="json")
    text = json.dumps(content | {"checksum": digest(content)}, indent=1, ensure_ascii=False, allow_nan=False)
    path = path_of(result, folder)
    try:
        write_text(path, _short_rows(text) + "\n")
    except OSError as error:
        raise unwritable(folder, error) from None
    return path


def unwritable(folder: Path, error: OSError) -> UserError:
    """Return the error for a results folder that cannot be written."""
    reason = error.strerror or str(error)
    return UserError(
        f"The results folder {folder} cannot be written ({reason}). Name another with --results, or make it writable."
    )


def write_text(path: Path, text: str) -> None:
    """Write a text file so that a reader sees all of it or none; make its folder if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(prefix=f".{path.stem[:40]}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(scratch, 0o666 & ~_umask())
        os.replace(scratch, path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _short_rows(text: str) -> str:
    """Put each list of numbers on one line, so that a committed R reads as a matrix."""
    return re.sub(r"\[\n\s*([-\d.e+,\s]+?)\n\s*\]", lambda m: "[" + re.sub(r"\s+", " ", m[1]) + "]", text)


def read(path: Path) -> Result:
    """Read and verify a Result.

    Raises UserError if the file is missing, damaged, edited by hand or of another schema version.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_constant)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}). Check the path.") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not a whole JSON file ({error}). Delete it and run again.") from None
    if not isinstance(content, dict) or "schema_version" not in content:
        raise UserError(f"{path} is not a Result: it has no 'schema_version'. Leave it out of the paths.")
    if content["schema_version"] != SCHEMA_VERSION:
        raise UserError(
            f"{path} has schema version {content['schema_version']!r}; this clbench reads version {SCHEMA_VERSION}. "
            "Use the clbench that wrote it, or run again."
        )
    checksum = content.pop("checksum", None)
    if checksum != digest(content):
        raise UserError(f"{path} does not match its checksum: it was damaged or edited. Delete it and run again.")
    try:
        return Result.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{path}: '{where}' is wrong: {first['msg']}. Delete the file and run again.") from None


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def find(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the JSON files of paths, folders searched whole, in order and without repeats.

    Raises UserError for a path that does not exist.
    """
    seen: set[Path] = set()
    for path in paths:
        if not path.exists():
            raise UserError(f"{path}: there is no such file or folder. 'clbench run' writes Results; see --results.")
        files = sorted(f for f in path.rglob("*.json") if not f.name.startswith(".")) if path.is_dir() else [path]
        for file in files:
            if file.resolve() not in seen:
                seen.add(file.resolve())
                yield file


def read_all(paths: Iterable[Path]) -> tuple[list[Result], list[str]]:
    """Read all Results of paths; return them and a sentence for each file that is left out.

    Of several Results of the same run (same run id) the newest counts.
    """
    newest: dict[str, tuple[Result, Path]] = {}
    left_out: list[str] = []
    for path in find(paths):
        try:
            result = read(path)
        except UserError as error:
            left_out.append(str(error))
            continue
        known = newest.get(result.run_id)
        if known is not None:
            older, newer = sorted((known, (result, path)), key=lambda pair: pair[0].created)
            left_out.append(f"{older[1]} is the same run as {newer[1]}, which is newer and counts.")
            newest[result.run_id] = newer
        else:
            newest[result.run_id] = (result, path)
    return [result for result, _ in newest.values()], left_out
