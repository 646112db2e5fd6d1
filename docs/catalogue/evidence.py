"""What the committed studies found of a strategy: in which it took part, and each difference with its interval.

A study is a folder of ``results/studies``, or one of ``results/reproduction`` that has a leaderboard of its own. A
method that ran alone is compared with fine-tuning; one that a study put beside another, as 'er+fire', with that other.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from clbench.analysis.boards import Entry, Leaderboard, Method
from clbench.analysis.compare import leaderboards
from clbench.analysis.load import load
from clbench.analysis.runs import Run
from clbench.metrics import METRICS
from clbench.render import leaderboards as render
from clbench.store import parts
from docs.catalogue import published
from docs.catalogue.boards import ROOT
from docs.catalogue.text import cell, page, table

RESULTS = ROOT / "results"
FINDINGS = ROOT / "docs" / "pages" / "findings"
UP = "../../"  # from a strategy's page to the site
HOME = "../../../../"  # from there to the repository, as if the page lay in docs/pages


@dataclass(frozen=True)
class Row:
    """A strategy's row of a study: on which board, compared with what, and which strategies' it is."""

    board: Leaderboard
    entry: Entry
    strategies: frozenset[str]


@dataclass(frozen=True)
class Study:
    """A study: its folder, its title and answer in its own words, the page that tells it, and its rows."""

    folder: Path
    title: str
    answer: str
    told: Path | None
    rows: Sequence[Row]


@cache
def studies() -> Sequence[Study]:
    """Return every committed study."""
    boards = {path.parent for path in RESULTS.glob("reproduction/*/leaderboard.md")}
    return [_study(folder) for folder in sorted({*RESULTS.glob("studies/*"), *boards})]


def of_strategy(name: str) -> str:
    """Return the section of one strategy; empty where it took part in nothing."""
    taken = [(study, [row for row in study.rows if name in row.strategies]) for study in studies()]
    told = [part for study, rows in taken if rows for part in (_told(study), _table(rows))]
    claims = published.of_strategy(name)
    if not told and not claims:
        return ""
    caption = (
        "From the committed Results of each study, with its settings: mean and difference with 95 % intervals, the "
        "latter as wide as Holm's correction over the rows of the comparison asks. *Open* is not *equal*: the seeds "
        "cannot tell. –: fine-tuning was not run, or has collapsed."
    )
    return page("## Evidence", *told, caption if told else "", claims)


def _study(folder: Path) -> Study:
    readme, board = folder / "README.md", folder / "leaderboard.md"
    text = readme.read_text(encoding="utf-8") if readme.exists() else ""
    title = found[1] if (found := re.search(r"^# (.+)$", text, re.MULTILINE)) else folder.name.replace("-", " ")
    answer = found[1] if (found := re.search(r"^\*\*(.+?)\*\*$", text, re.MULTILINE | re.DOTALL)) else ""
    if board.exists():
        answer = board.read_text(encoding="utf-8").split("\n\n")[1]
    where = folder.relative_to(ROOT).as_posix() + "/"
    pages = [one for one in sorted(FINDINGS.glob("*.md")) if where in one.read_text(encoding="utf-8")]
    told = next((one for one in pages if one.stem != "index"), None)
    answer = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(answer.split()))  # its links start elsewhere
    return Study(folder, title, answer, told, [*_rows(folder, board)])


def _rows(folder: Path, board: Path) -> Iterator[Row]:
    """Each comparison's rows but its reference: of what ran alone, and of what ran beside each other method."""
    runs, _ = load([folder])
    columns = _columns(board.read_text(encoding="utf-8")) if board.exists() else None
    for base, group in _comparisons(runs).items():
        alone = Method(columns) if columns else Method()
        method = Method(alone.columns, against=base) if base else alone
        for made in leaderboards(group, method):
            for entry in made.entries:
                names = {entry.strategy, *entry.names}
                of = {part for name in names for part in parts(name) if base in ("", *parts(name)) and name != base}
                if entry.label != made.reference:
                    yield Row(made, entry, frozenset(of - {base}))


def _comparisons(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The runs of each comparison by what is the reference; '' for what is compared with fine-tuning.

    Of the parts of a composition the one that most compositions share is what the others were put beside; if no other
    composition has it, this is a method like any.
    """
    beside = {run.strategy: parts(run.strategy) for run in runs if len(parts(run.strategy)) > 1}
    shared = Counter(part for names in beside.values() for part in names)
    most = {name: max(names, key=lambda part: shared[part]) for name, names in beside.items()}
    alone = {run.strategy for run in runs}
    bases = {name: part for name, part in most.items() if shared[part] > 1 and part in alone}
    found: dict[str, list[Run]] = {"": [run for run in runs if run.strategy not in bases]}
    for base in sorted({*bases.values()}):
        found[base] = [run for run in runs if run.strategy == base or bases.get(run.strategy) == base]
    return found


def _columns(text: str) -> Sequence[str] | None:
    """What a committed leaderboard is ranked by: the metric of its first column of numbers."""
    heads = re.search(r"^\| # \| strategy \| n \| ([^|]+?) \|", text, re.MULTILINE)
    found = [name for name in METRICS if heads and render.heading(name) == heads[1]]
    return found[:1] or None


def _told(study: Study) -> str:
    link = f"[{cell(study.title)}]({HOME}{study.folder.relative_to(ROOT).as_posix()}/{_text(study.folder)})"
    more = f" ([findings]({UP}findings/{study.told.name}))" if study.told else ""
    return f"**{link}**{more}: {study.answer}" if study.answer else f"**{link}**{more}"


def _text(folder: Path) -> str:
    return "README.md" if (folder / "README.md").exists() else "leaderboard.md"


def _table(rows: Sequence[Row]) -> str:
    lines = []
    for row in rows:
        entry, column = row.entry, row.board.metrics[0]
        value = f"{render.heading(column)} {render.number(entry.estimates[column], column, row.board.interval)}"
        against = f"{render.difference(entry.against, column)} to {row.board.reference}" if entry.against else "–"
        state = render.state_of(entry)
        lines.append([cell(one) for one in (row.board.title, entry.label, value, against, state)])
    return table(["stream", "as", "mean, %", "difference", ""], lines)
