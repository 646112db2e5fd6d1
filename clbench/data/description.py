"""Which column of a table is what: as the user says it, as a YAML file beside the table does, else as it looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from clbench.errors import UserError
from clbench.registry import Count

Kind = Literal["number", "text", "time", "image", "other"]
ROW = "row"  # as a time: the rows are in order
LABELS = ("label", "target", "class", "y")  # what a column of labels is often called
SPLITS = ("split", "fold", "subset", "partition")


def data_options(
    *,
    path: str | None = None,
    label: str | None = None,
    features: list[str] | None = None,
    drop: list[str] | None = None,
    categories: list[str] | None = None,
    time: str | None = None,
    group: str | list[str] | None = None,
    split: str | None = None,
    slots: Count | None = None,
    codes: bool | None = None,
    fingerprint: str | None = None,
) -> None:
    """Declare the options of ``data``, which say how a user's own table or arrays are read.

    path: the file or folder, where it is not found by its name under the data root.
    label: the column to predict (default: 'label', 'target', 'class' or 'y', else the last).
    features: the columns to predict from (default: all others). drop: columns to leave out.
    categories: columns whose numbers are names (default: columns of text).
    time: when each row was taken (default: the only column of dates); 'row': the rows are in order.
    group: the column, or several 0/1 columns, that say where each row belongs (sites, devices).
    split: the column that says train or test (default: 'split', 'fold', …, else a fifth is held out).
    slots: inputs for one category at most (default: 64); the rarest values share one.
    codes: integers are codes for an embedding, not numbers.
    fingerprint: what a Result says of its data, sha256; a run on any other content is refused.
    """


@dataclass(frozen=True)
class Roles:
    """Every column's part. ``guessed``: what nobody has said, in words. ``images``: the column to predict from, if it
    holds images or says where they are.
    """

    label: str
    numbers: list[str]
    categories: list[str]
    time: str | None = None
    group: list[str] = field(default_factory=list)
    split: str | None = None
    dates: list[str] = field(default_factory=list)  # columns of dates that nothing has been said of
    guessed: list[str] = field(default_factory=list)
    images: str | None = None

    @property
    def used(self) -> list[str]:
        """All columns that are read, each once."""
        named = [self.images, self.label, self.time if self.time != ROW else None, self.split, *self.group]
        return list(dict.fromkeys([*self.numbers, *self.categories, *(one for one in named if one)]))


def beside(file: Path) -> dict[str, Any]:
    """Return what a YAML file of the same name says; UserError if it cannot be read or says what is unknown."""
    from clbench.yaml_files import read_yaml

    for suffix in (".yaml", ".yml"):
        sidecar = file.with_name(file.name.split(".")[0] + suffix)
        if sidecar.is_file():
            found = read_yaml(sidecar)
            return checked(dict(found.get("data", found)), str(sidecar))
    return {}


def checked(options: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return options of ``data`` that are given, validated; UserError that names the key."""
    from clbench.registry.options import section_model, validated

    section = dict(options)
    for key in ("features", "drop", "categories"):
        if isinstance(section.get(key), str):
            section[key] = [section[key]]
    found = validated(where, section_model("data", data_options), section)
    return {key: value for key, value in found.items() if value is not None}


def roles(kinds: Mapping[str, Kind], said: Mapping[str, Any], file: Path) -> Roles:
    """Return what each column is, given how it looks and what was said; UserError for a column that is not there."""
    names = list(kinds)
    group = [said["group"]] if isinstance(said.get("group"), str) else list(said.get("group", []))
    for key in ("label", "time", "split"):
        if said.get(key) and not (key == "time" and said[key] == ROW):
            _there(said[key], names, f"data.{key}", file)
    for key, listed in ("group", group), *((key, said.get(key, [])) for key in ("features", "drop", "categories")):
        for one in listed:
            _there(one, names, f"data.{key}", file)
    guessed = []
    label = said.get("label")
    if label is None:
        label = next((one for one in names if one.lower() in LABELS), names[-1])
        guessed.append(f"label={label}")
    time = said.get("time")
    dropped = said.get("drop", [])
    dates = [name for name in names if kinds[name] == "time" and name != label and name not in dropped]
    if time is None and len(dates) == 1:
        time = dates[0]
        guessed.append(f"time={time}")
    splits = [one for one in names if one.lower() in SPLITS and kinds[one] == "text" and one not in dropped]
    split = said.get("split") or next(iter(splits), None)
    if split is not None and "split" not in said:
        guessed.append(f"split={split}")
    taken = {label, time, split, *group, *dropped}
    features = [one for one in said.get("features", names) if one not in taken and one not in dates]
    if not features:
        raise UserError(f"{file}: no column is left to predict from. Say which with --set data.features=[…].")
    named = said.get("categories", [])
    for one in features:
        if kinds[one] == "other":
            raise UserError(
                f"{file}: column '{one}' holds neither numbers nor names. Leave it out (--set data.drop=[{one}]), or "
                "embed it first: 'clbench data embed' makes vectors of images."
            )
    categories = [one for one in features if one in named or kinds[one] == "text"]
    numbers = [one for one in features if one not in categories]
    spare = [one for one in dates if one not in (time, *dropped)]
    return Roles(label, numbers, categories, time, group, split, spare, guessed)


def _there(name: str, names: Sequence[str], key: str, file: Path) -> None:
    if name in names:
        return
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    shown = ", ".join(names[:20]) + (f", … ({len(names)} in all)" if len(names) > 20 else "")
    meant = f" Did you mean '{near[0]}'?" if near else ""
    raise UserError(f"{key}: {file} has no column '{name}'.{meant} Its columns are {shown}.")
