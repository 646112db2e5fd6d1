"""A described dataset in words and tables: first what it is and what to run, then what is there, then traps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise

from clbench.data.described import Described
from clbench.data.outline import Section
from clbench.data.profile import Column, NumberColumn
from clbench.render.tables import Table

CLASSES, SECTIONS, COLUMNS = 20, 24, 30  # rows of a table that a terminal shows
NAME = 28  # letters of a name
SHADES = "▁▂▃▄▅▆▇█"
STEPS = 24  # letters of a curve at most
SEVERAL = 4  # classes whose shares have columns of their own
ANSWERS = {
    "label": "--set data.label=COLUMN",
    "time": "--set data.time=COLUMN, or row if the rows are in order, or null",
    "split": "--set data.split=COLUMN",
}


def conclusion(found: Described) -> tuple[str, str, str]:
    """What it is; what a run on it would be, before the command; and what to beware of."""
    total = sum(found.rows.values())
    parts = f" ({found.rows['train']:,} to train on, {found.rows['test']:,} to test)" if not found.undivided else ""
    of = f" of '{found.label}'" if found.label else ""
    noun = {"table": "a table, {} rows", "images": "{} images", "vectors": "{} vectors"}[found.kind]
    what = f"{found.name}: {noun.format(f'{total:,}')}{parts}, {len(found.classes)} classes{of}"
    if found.label:
        numbers = sum(isinstance(column, NumberColumn) for column in found.columns)
        counts = (numbers, "number"), (len(found.columns) - numbers, "category")
        what += f", to be told from {' and '.join(_count(*one) for one in counts if one[0])}"
    else:
        what += f", of shape {' × '.join(map(str, found.shape))}"
    kinds = ", ".join(dict.fromkeys(trap.kind for trap in found.traps))
    return f"{what}.", _stream(found), f"Beware: {kinds}; more below." if kinds else "No trap was found."


def _stream(found: Described) -> str:
    if found.periods:
        unit = "as many rows each" if found.every == "rows" else f"one per {found.every}"
        span = f" from {found.span[0]} to {found.span[1]}" if found.span else ", in the order of its rows"
        return f"A run learns {len(found.periods)} periods ({unit}){span}; --every cuts otherwise. To try it:"
    if found.groups:
        return f"A run learns {len(found.groups)} groups of '{_short(found.group or '')}' one after another. To try it:"
    if "data.time=row" in found.command:
        return "Nothing says when or where a row was taken. If the rows are in order of time, a run is:"
    return "A run learns a few of its classes after another. To try it:"


def reached(found: Described) -> Table | None:
    """A row per simple way to predict."""
    if not found.reached:
        return None
    where = "the next period" if found.periods else "test rows"
    rows = [[one.way, _percent(one.accuracy), _percent(one.balanced)] for one in found.reached]
    note = "persistence: the label of the row before." if found.periods else ""
    header = ["way", "accuracy", "mean over classes"]
    return Table(f"What is easy, on {where}", header, rows, right=frozenset({1, 2}), note=note)


def guesses(found: Described) -> list[str]:
    """What nobody has said, and how to say otherwise."""
    lines = []
    for one in found.guessed:
        key = one.partition("=")[0]
        lines.append(f"guessed: {one} (otherwise {ANSWERS.get(key, '--set data.features=[…], data.categories=[…]')})")
    if found.dates:
        lines.append(f"left out: dates in {', '.join(found.dates)} (use one with --set data.time=COLUMN)")
    return lines


def classes(found: Described) -> Table:
    """A row per class, the most frequent first, with its share over the sections."""
    place = {name: index for index, name in enumerate(found.classes)}
    ranked = sorted(found.classes.items(), key=lambda one: -one[1])
    rows = []
    for name, share in ranked[:CLASSES]:
        over = [section.shares[place[name]] for section in found.sections]
        rows.append([_short(name), _percent(share), *([_between(over), curve(over)] if over else [])])
    over_what = "over periods" if found.periods else "over groups"
    header = ["class", "share", *(["lowest–highest", over_what] if found.sections else [])]
    return Table("Classes", header, rows, right=frozenset({1, 2}), note=_more(len(ranked) - CLASSES, "classes"))


def sections(found: Described) -> Table | None:
    """A row per period or group: how many rows it has, and what of its classes is new or gone."""
    if not found.sections:
        return None
    shown = _thinned(found.sections) if found.periods else found.sections[:SECTIONS]
    names = list(found.classes)[:SEVERAL] if len(found.classes) <= SEVERAL else []
    changes = any(section.new for section in found.sections[1:]) or any(section.gone for section in found.sections)
    rows = []
    for section in shown:
        shares = [_percent(share) for share in section.shares] if names else [_commonest(section, found)]
        rows.append(
            [_short(section.name), f"{section.rows:,}", *shares]
            + ([_listed(section.new if section is not found.sections[0] else []), _listed(section.gone)] * changes)
        )
    kind = "period" if found.periods else "group"
    header = [kind if found.groups and not found.periods else "period from", "rows"]
    header += [_short(name) for name in names] or ["most frequent class"]
    header += ["new classes", "gone"] * changes
    right = frozenset(range(1, 2 + len(names)))
    return Table(
        f"The stream: {len(found.sections)} {kind}s", header, rows, right, note=_more(
            len(found.sections) - len(shown), f"{kind}s", "between them" if found.periods else "smaller"
        ),
    )  # fmt: skip


def columns(found: Described) -> Table | None:
    """A row per column, those first that tell most of the label."""
    if not found.columns:
        return None
    told = {one.column: one for one in found.alone}
    ranked = sorted(found.columns, key=lambda column: -(told[column.name].removed if column.name in told else 0))
    gaps = any(column.missing for column in ranked)
    moved = bool(found.periods)
    rows = [
        [
            _short(column.name),
            _percent(told[column.name].accuracy) if column.name in told else "–",
            *([_percent(column.missing) if column.missing else ""] if gaps else []),
            *([_change(column)] if moved else []),
            _content(column),
        ]
        for column in ranked[:COLUMNS]
    ]
    header = ["column", "alone", *(["missing"] if gaps else []), *(["moves"] if moved else []), "holds"]
    note = "alone: accuracy of a rule on this column only, on rows that it has not seen."
    if moved:
        note += " moves: the mean from the first period to the last, in standard deviations (σ); or the later rows "
        note += "with a value that the earlier half has not."
    more = _more(len(ranked) - COLUMNS, "columns", "that tell less")
    right = frozenset(range(1, len(header) - 1))
    return Table("Columns to predict from", header, rows, right, note=f"{note} {more}".strip())


def traps(found: Described) -> list[tuple[str, str]]:
    """A heading and a paragraph for each trap."""
    return [(trap.kind, f"{trap.finding} {trap.advice}") for trap in found.traps]


def as_json(found: Described) -> str:
    """Everything that is known, unrounded."""
    return json.dumps(asdict(found), indent=1, ensure_ascii=False) + "\n"


def curve(values: Sequence[float]) -> str:
    """Values as a line of blocks from the lowest to the highest; many values are averaged."""
    steps = min(len(values), STEPS)
    edges = [len(values) * step // steps for step in range(steps + 1)]
    means = [sum(values[start:end]) / (end - start) for start, end in pairwise(edges)]
    low, high = min(means), max(means)
    if high - low < 1e-9:
        return SHADES[3] * steps
    return "".join(SHADES[round((value - low) / (high - low) * (len(SHADES) - 1))] for value in means)


def _thinned(found: Sequence[Section]) -> Sequence[Section]:
    """The first and the last of many, and some between, evenly."""
    if len(found) <= SECTIONS:
        return found
    return [found[step * (len(found) - 1) // (SECTIONS - 1)] for step in range(SECTIONS)]


def _commonest(section: Section, found: Described) -> str:
    share, name = max(zip(section.shares, found.classes, strict=True), key=lambda one: one[0])
    return f"{_short(name)} ({_percent(share)})"


def _content(column: Column) -> str:
    if isinstance(column, NumberColumn):
        if column.low is None or column.high is None:
            return "nothing"
        if column.whole and (column.low, column.high) == (0, 1):
            return f"0 or 1; 1 in {_percent(column.mean or 0)}"
        kind = "whole numbers" if column.whole else "numbers"
        return f"{kind} {column.low:.4g} … {column.high:.4g}, mean {column.mean:.4g}"
    values = ", ".join(f"{_short(value)} {_rough(share)}" for value, share in column.frequent)
    return _count(column.values, "value") + (f": {values}" if values else "")


def _change(column: Column) -> str:
    if isinstance(column, NumberColumn):
        return "–" if column.moved is None else f"{column.moved:+.1f} σ"
    return f"{_percent(column.unseen)} new"


def _between(shares: Sequence[float]) -> str:
    return f"{100 * min(shares):.1f}–{_percent(max(shares))}"


def _percent(share: float) -> str:
    """A share in per cent; one that is hardly there is not nothing."""
    return f"{100 * share:.1f} %" if share == 0 or share >= 0.0005 else "< 0.1 %"


def _rough(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.005 else "< 1 %"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(_short(name) for name in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _short(name: str) -> str:
    name = " ".join(name.split())
    return name if len(name) <= NAME else f"{name[: NAME - 1]}…"


def _count(number: int, noun: str) -> str:
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def _more(number: int, noun: str, which: str = "with less") -> str:
    return f"Not shown: {number:,} {noun} {which}; --json has all." if number > 0 else ""
