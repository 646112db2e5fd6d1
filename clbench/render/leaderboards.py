"""Leaderboards and rankings as tables, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from clbench.analysis.columns import heading as heading  # other tables head their columns so, too
from clbench.analysis.compare import Entry, Leaderboard, better
from clbench.analysis.ranking import Ranking
from clbench.analysis.significance import enough_seeds
from clbench.analysis.statistics import Estimate, Interval
from clbench.metrics import METRICS
from clbench.render.tables import Table, html, latex, markdown
from clbench.store.warnings import KINDS, kinds_of, spoilt

MARKS = {"best": "", "level": " ≈", "worse": "", "unclear": " ?", None: ""}
FRONT_MARK = "◆"
WARNED = "†"
SHOWN_WARNED = 6
TESTS = {
    "permutation": "permutation test",
    "wilcoxon": "Wilcoxon's test",
    "t": "t-test",
}
INTERVALS = {"t": "Student's t", "bootstrap": "bootstrap, BCa"}


def shown_factor(column: str) -> float:
    """What a column's values are multiplied by to be shown: shares are shown in per cent."""
    return 1.0 if column == "seconds" or (column in METRICS and METRICS[column].unit == "steps") else 100.0


def shown(value: float | None, column: str) -> str:
    """One run's value with its unit; a dash where there is none."""
    factor = shown_factor(column)
    return "–" if value is None else f"{_fixed(value * factor, 2)} {'%' if factor == 100 else 'steps'}"


def number(estimate: Estimate | None, column: str, interval: Interval = "t") -> str:
    """An estimate in per cent (or seconds) with its interval; a dash where there is none."""
    if estimate is None:
        return "–"
    factor = shown_factor(column)
    mean = _fixed(estimate.mean * factor)
    if estimate.low is None or estimate.high is None or estimate.half_width is None:
        return mean
    if interval == "t":
        return f"{mean} ± {estimate.half_width * factor:.1f}"
    return f"{mean} [{_fixed(estimate.low * factor)}, {_fixed(estimate.high * factor)}]"


def _fixed(value: float, digits: int = 1) -> str:
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def leaderboard(board: Leaderboard, wide: bool = True) -> Table:
    """A leaderboard as a table; the best entry stands out. ``wide``: with difference to the best, p and effect."""
    header = ["#", "strategy", "n", *(heading(metric) for metric in board.metrics)]
    rows = [_cells(entry, board) for entry in board.entries]
    if wide:
        header += ["Δ to best", "p", "effect", "seeds needed"]
        rows = [row + _against_best(entry, board) for row, entry in zip(rows, board.entries, strict=True)]
    return Table(
        board.title,
        header,
        rows,
        right=frozenset({2, *range(3, len(header))}),
        strong=frozenset((row, column) for row, e in enumerate(board.entries) if e.rank == 1 for column in (1, 3)),
        note=warned(board),
    )


def warned(board: Leaderboard) -> str:
    """What the mark of rows with warnings means here: of each kind the rows and how many of their seeds, or nothing."""
    parts = []
    kinds = kinds_of(kind for entry in board.entries for kind in entry.warnings)
    for kind in kinds:
        rows = [(e.label, f"{len(e.warnings[kind])}/{len(e.seeds)}") for e in board.entries if kind in e.warnings]
        told = ", ".join(f"{label} {share}" for label, share in rows[:SHOWN_WARNED])
        more = f" and {len(rows) - SHOWN_WARNED} rows more" if len(rows) > SHOWN_WARNED else ""
        meaning = f" ({KINDS[kind].meaning})" if kind in KINDS else ""
        parts.append(f"{kind}{meaning}: {told}{more}")
    if not parts:
        return ""
    unranked = [kind for kind in kinds if spoilt([kind])]
    told = f" Not ranked: {', '.join(unranked)}." if unranked else ""
    return f"{WARNED} seeds with warnings – {'; '.join(parts)}.{told}"


def _cells(entry: Entry, board: Leaderboard) -> list[str]:
    rank = "" if entry.rank is None else f"{entry.rank}{MARKS[entry.verdict]}{FRONT_MARK if entry.front else ''}"
    mark = WARNED if entry.warnings else ""
    if entry.diverged:
        words = f"{mark}diverged {entry.diverged}/{len(entry.seeds)}"
        return [rank, entry.label, str(len(entry.seeds)), words, *("–" for _ in board.metrics[1:])]
    numbers = [(metric, number(entry.estimates[metric], metric, board.interval)) for metric in board.metrics]
    marked = [text if metric == "seconds" or text == "–" else mark + text for metric, text in numbers]
    return [rank, entry.label, str(len(entry.seeds)), *marked]


def _against_best(entry: Entry, board: Leaderboard) -> list[str]:
    found = entry.against_best
    if found is None:
        return ["–"] * 4
    factor = shown_factor(board.metrics[0])
    return [
        _fixed(found.difference * factor),
        "–" if entry.p is None else p_value(entry.p),
        "–" if found.effect is None else _fixed(found.effect),
        "–" if entry.seeds_needed is None or entry.verdict == "worse" else f"{entry.seeds_needed:,}",
    ]


def p_value(p: float) -> str:
    """A p-value as text."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def caption(boards: Sequence[Leaderboard]) -> str:
    """What the numbers and marks of leaderboards mean."""
    interval, test = boards[0].interval, boards[0].test
    verdicts = {entry.verdict for board in boards for entry in board.entries}
    sentences = [f"Per cent, mean and 95 % interval over n seeds ({INTERVALS[interval]}); seconds: the whole run."]
    if any("final_test_accuracy" in board.metrics for board in boards):
        sentences.append(
            "final, all stages: accuracy on the one test set after the last stage, and the mean over stages; gap: how "
            "far the cold start is ahead; steps: mean per stage to the training accuracy asked for, – if one missed it."
        )
    if any("online_trend" in board.metrics for board in boards):
        sentences.append(
            "first−last: forgetting since each task was learnt; online: right answers before a batch is trained on; "
            "trend: its rise over the stream."
        )
    if "level" in verdicts:
        sentences.append(
            f"≈ : not significantly worse than the best ({TESTS[test]}, paired by seed, Holm's correction, 5 %)."
        )
    if "unclear" in verdicts:
        sentences.append(f"? : {_too_few(boards)}")
    if any(entry.front for board in boards for entry in board.entries):
        sentences.append(f"{FRONT_MARK} : on the Pareto front of accuracy, forgetting and seconds.")
    return " ".join(sentences)


def _too_few(boards: Sequence[Leaderboard]) -> str:
    """Say what seeds are missing."""
    test = boards[0].test
    rivals = max(sum(entry.rank is not None for entry in board.entries) for board in boards) - 1
    least = enough_seeds(rivals, test)
    return (
        f"not enough seeds to tell: with {rivals} rival{'s' * (rivals > 1)} the {TESTS[test]} needs {least} or more"
        + ("; --test t needs fewer." if test != "t" and least > 2 else ".")
    )


def ranks(found: Ranking) -> Table:
    """Mean ranks; methods that share a letter are not told apart."""
    letters = {
        label: " ".join(chr(ord("a") + i) for i, group in enumerate(found.groups) if label in group)
        for label in found.ranks
    }
    rows = [[label, f"{rank:.2f}", letters[label]] for label, rank in found.ranks.items()]
    title = f"Mean rank over {len(found.scenarios)} leaderboards"
    return Table(title, ["strategy", "mean rank", "group"], rows, right=frozenset({1}))


def ranks_caption(found: Ranking) -> str:
    """What the mean ranks allow to say."""
    return (
        f"Methods that share a letter are closer than Nemenyi's critical difference at 5 %, {found.critical:.2f}. "
        f"Friedman's test that all are alike: p {p_value(found.p)}."
    )


def as_text(boards: Sequence[Leaderboard], found: Ranking | None, form: str) -> str:
    """All leaderboards and the ranking in 'markdown', 'latex', 'html', 'csv' or 'json'."""
    match form:
        case "csv":
            return _csv(boards)
        case "json":
            return _json(boards, found)
    render: Callable[[Table], str] = {"markdown": markdown, "latex": latex, "html": html}[form]
    lines: Callable[[str], str] = {
        "markdown": lambda text: f"{text}\n",
        "latex": lambda text: f"% {text}\n",
        "html": lambda text: f"<p>{text}</p>\n",
    }[form]
    parts = ["% needs \\usepackage{amssymb,booktabs}\n"] if form == "latex" else []
    parts += [render(leaderboard(board)) for board in boards]
    parts.append(lines(caption(boards)))
    if found is not None:
        parts += [render(ranks(found)), lines(ranks_caption(found))]
    return "\n".join(parts)


def _csv(boards: Sequence[Leaderboard]) -> str:
    """One line per entry and metric, with unrounded numbers."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["scenario", "setting", "rank", "strategy", "source", "seeds", "diverged", "metric", "better", "mean", "low_95"]
        + ["high_95", "verdict", "difference_to_best", "p_holm", "effect", "seeds_needed", "pareto_front", "warnings"]
    )
    for board in boards:
        for entry in board.entries:
            warnings = "; ".join(f"{kind} {len(seeds)}" for kind, seeds in entry.warnings.items())
            for place, metric in enumerate(board.metrics):
                one = entry.estimates[metric]
                numbers = [None, None, None] if one is None else [one.mean, one.low, one.high]
                found = entry.against_best if place == 0 else None
                told: list[Any] = [entry.verdict, found and found.difference, entry.p, found and found.effect]
                told = told if place == 0 else [None] * 4
                told += [entry.seeds_needed if place == 0 else None, int(entry.front), warnings]
                writer.writerow(
                    [board.scenario, board.setting, entry.rank, entry.label, entry.source, len(entry.seeds)]
                    + [entry.diverged, metric, better(metric), *numbers, *told]
                )
    return out.getvalue()


def _json(boards: Sequence[Leaderboard], found: Ranking | None) -> str:
    """Everything that is known, unrounded."""
    made = [asdict(board) for board in boards]
    for board in made:
        board["kind"] = json.loads(board["kind"])
        for entry in board["entries"]:
            entry["config"] = json.loads(entry.pop("setup"))
    content = {"leaderboards": made, "ranking": asdict(found) if found else None}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
