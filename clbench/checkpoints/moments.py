"""Checkpoints as files: how far a run is, as JSON, beside its tensors in a safetensors file.

The JSON file names the tensors by sha256 and carries a checksum, so that it alone decides: it is written last, and what
does not match is passed over.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from clbench import store
from clbench.checkpoints.state import Tree
from clbench.config import RunConfig
from clbench.errors import UserError
from clbench.store.folders import Folder

FORMAT = 2
FOLDER = ".checkpoints"
NAME = re.compile(r"(\d{6})-(\d{9})\.json")
SAME = ("strategy", "scenario", "seed")  # what makes another run's checkpoint worth a word


class CannotContinueError(UserError):
    """There is a checkpoint, but not for this run as it is now."""


@dataclass(frozen=True)
class Moment:
    """A run's state after so many stages and steps of the next, with R and cost so far.

    ``base``: checksum of the task boundary that a moment inside a task builds on. ``checksum``: its own, once written.
    """

    stage: int
    step: int
    tree: Tree
    progress: dict[str, Any]
    base: str | None
    checksum: str = ""


def folder_of(config: RunConfig) -> str:
    """Return where a run's checkpoints are in its results folder."""
    return f"{FOLDER}/{config.run_id[:16]}"


def write(folder: Folder, config: RunConfig, identity: Mapping[str, Any], moment: Moment) -> str:
    """Write a moment and return its checksum. Raises OSError."""
    name = f"{folder_of(config)}/{_name(moment.stage, moment.step)}"
    tensors = save({key: value.cpu() for key, value in moment.tree.memory.items()} or {"none": torch.zeros(1)})
    content = {
        "format": FORMAT,
        "identity": dict(identity),
        "config": config.model_dump(mode="json", exclude={"tuned"}),
        "code": _code(config),
        "tensors": hashlib.sha256(tensors).hexdigest(),
        "stage": moment.stage,
        "step": moment.step,
        "base": moment.base,
        "progress": moment.progress,
        "root": moment.tree.root,
        "nodes": moment.tree.nodes,
    }
    content["checksum"] = store.digest(content)
    folder.write(f"{name}.safetensors", tensors)
    folder.write(f"{name}.json", json.dumps(content, ensure_ascii=False).encode())
    return str(content["checksum"])


def keep(folder: Folder, config: RunConfig, kept: set[tuple[int, int]]) -> None:
    """Remove a run's moments but those of these stages and steps."""
    names = {_name(stage, step) for stage, step in kept}
    for name in folder.names(folder_of(config)):
        if name.rpartition("/")[2].partition(".")[0] not in names:
            folder.remove(name)


def discard(config: RunConfig, folder: Folder) -> None:
    """Remove all checkpoints of a run, whose Result is written."""
    folder.clear(folder_of(config))


def read(folder: Folder, config: RunConfig, identity: Mapping[str, Any]) -> list[Moment]:
    """Return a run's moments that are whole. Raises CannotContinueError if they are another version's."""
    names = [name for name in folder.names(folder_of(config)) if name.endswith(".json")]
    found = [_moment(folder, name, identity) for name in names]
    return [one for one in found if one is not None]


def _name(stage: int, step: int) -> str:
    return f"{stage:06}-{step:09}"


def _moment(folder: Folder, name: str, identity: Mapping[str, Any]) -> Moment | None:
    """A moment, or None if it is damaged."""
    content = _json(folder, name)
    if content is None:
        return None
    different = differences(
        {"checkpoint format": FORMAT, **identity}, {"checkpoint format": content["format"], **content["identity"]}
    )
    if different:
        raise CannotContinueError(
            f"The checkpoint {folder}/{name} cannot be continued: {different}. Its R would not be that of an unbroken "
            "run. Use what began it, or leave --resume out to begin anew."
        )
    try:
        raw = folder.read(name.removesuffix(".json") + ".safetensors")
        if hashlib.sha256(raw).hexdigest() != content["tensors"]:
            return None
        tree = Tree(content["root"], content["nodes"], load(raw))
    except (OSError, SafetensorError):
        return None
    return Moment(
        content["stage"], content["step"], tree, content["progress"], content["base"], str(content["checksum"])
    )


def refuse_others(folder: Folder, config: RunConfig) -> None:
    """Raise CannotContinueError if the same strategy, scenario and seed were begun with other settings or code."""
    mine = config.model_dump(mode="json", exclude={"tuned"})
    for name in folder.names(FOLDER):
        content = _json(folder, name) if NAME.fullmatch(name.rpartition("/")[2]) else None
        if content is None or not all(_named(content["config"], key) == _named(mine, key) for key in SAME):
            continue
        ours = store.flat(mine) | _code(config)
        theirs = (
            store.flat(content["config"]) | dict.fromkeys(_code(config), str(store.Code())) | content.get("code", {})
        )
        raise CannotContinueError(
            "There is no checkpoint of this run, but one of the same strategy, scenario and seed with other settings "
            f"or code: {differences(ours, theirs)}. Give the same, or leave --resume out to begin anew."
        )


def _code(config: RunConfig) -> dict[str, str]:
    """What a run's units are, in words."""
    return {unit: str(code) for unit, code in config.code.items()}


def _named(config: Mapping[str, Any], key: str) -> Any:
    value = config.get(key)
    return value["name"] if isinstance(value, dict) else value


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """Say in what two descriptions differ."""
    keys = [key for key in {**theirs, **ours} if ours.get(key) != theirs.get(key)]
    return ", ".join(f"{key} is {ours.get(key)} here and {theirs.get(key)} there" for key in keys)


def _json(folder: Folder, name: str) -> dict[str, Any] | None:
    """A moment's JSON, if it is whole."""
    try:
        content = json.loads(folder.read(name))
        checksum = content.pop("checksum")
        if checksum != store.digest(content):
            return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return {**content, "checksum": checksum}
