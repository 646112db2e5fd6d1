"""Leaderboards and rankings as tables."""

from __future__ import annotations

from collections.abc import Sequence

from clbench.analysis.answers import Against
from clbench.analysis.boards import Entry, Leaderboard
from clbench.analysis.columns import heading as heading  # other tables head their columns so, too
from clbench.analysis.compare import better
from clbench.analysis.costs import COSTS
from clbench.analysis.overall import AcrossBoards
from clbench.analysis.ranking import Ranking
from clbench.analysis.statistics import Estimate, Interval
from clbench.metrics import METRICS
from clbench.render import amounts
from clbench.render.conclusions import Unit, conclusion, joined, signed
from clbench.render.tables import Table
from clbench.store.warnings import KINDS, kinds_of, spoilt

MAY_BE_BEST = "★"
FRONT_MARK = "◆"
WARNED = "†"
FEWER = "‡"
SHOWN_WARNED = 6
SHOWN_NAMES = 3
TESTS = {
    "moderated": "t-tests paired by seed, variances moderated over all rows",
    "permutation": "permutation tests paired by seed",
    "max-t": "sign flips of whole seeds, the largest t of all rows counted",
    "wilcoxon": "Wilcoxon's tests paired by seed",
    "t": "t-tests paired by seed",
}
INTERVALS = {"t": "Student's t", "bootstrap": "bootstrap, BCa"}
BLOCKS = {"method": "methods", "bound": "bounds", "control": "controls"}


def shown_factor(column: str) -> float:
    """What a column's values are multiplied by to be shown: shares are shown in per cent."""
    return 1.0 if column in COSTS or (column in METRICS and METRICS[column].unit == "steps") else 100.0


def shown(value: float | None, column: str) -> str:
    """One run's value with its unit; a dash where there is none."""
    factor = shown_factor(column)
    return "–" if value is None else f"{_fixed(value * factor, 2)} {'%' if factor == 100 else 'steps'}"


def number(estimate: Estimate | None, column: str, interval: Interval = "t") -> str:
    """An estimate in per cent (or what its column counts) with its interval; a dash where there is none."""
    if estimate is None:
        return "–"
    if column in amounts.KINDS:
        return amounts.estimated(estimate, column, interval)
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


def leaderboard(board: Leaderboard) -> Table:
    """A leaderboard as a table: how each row stands to the reference first, then its other columns."""
    first, *others = board.metrics
    ways = any(entry.way is not None for entry in board.entries)
    header = ["#", "strategy", "n", heading(first)]
    header += [f"Δ {board.reference}", ""] if board.reference else []
    header += ["of the way"] if ways else []
    kept = len(header)
    header += [heading(metric) for metric in others]
    rows = []
    for entry in board.entries:
        cells = [_place(entry), names_of(entry), f"{len(entry.seeds)}{FEWER if entry.lacks else ''}"]
        cells += [_value(entry, first, board)]
        cells += [difference(entry.against, first), state_of(entry)] if board.reference else []
        cells += [way(entry)] if ways else []
        rows.append([*cells, *(_value(entry, metric, board) for metric in others)])
    told = 5 if board.reference else -1
    return Table(
        board.title,
        header,
        rows,
        right=frozenset({2, *range(3, len(header))} - {told}),
        strong=frozenset((row, 1) for row, entry in enumerate(board.entries) if entry.may_be_best),
        note=" ".join(part for part in (warned(board), fewer(board)) if part),
        intro=answer(board),
        blocks=blocks(board),
        kept=kept,
    )


def answer(board: Leaderboard) -> str:
    """What follows from a board, in sentences."""
    column = board.metrics[0]
    factor = shown_factor(column)
    unit = Unit(factor, "points" if factor == 100 else heading(column))
    return conclusion(board, unit, better(column) == "lower")


def blocks(board: Leaderboard) -> dict[int, str]:
    """Titles of methods, bounds and controls, where there is more than one of the three."""
    begins: dict[str, int] = {}
    for row, entry in enumerate(board.entries):
        begins.setdefault(entry.role, row)
    return {row: BLOCKS[role] for role, row in begins.items()} if len(begins) > 1 else {}


def names_of(entry: Entry) -> str:
    """A row's label, and those of other strategies whose runs are the same."""
    told = [f"{label} ({', '.join(kinds)})" if kinds else label for label, kinds in entry.also.items()]
    more = len(told) - SHOWN_NAMES
    also = [*told[:SHOWN_NAMES], *([f"{more} more"] if more > 0 else [])]
    return f"{entry.label} = {', '.join(also)}" if also else entry.label


def state_of(entry: Entry) -> str:
    """How a row stands to the reference, in a word; the reference itself says so."""
    return entry.state or "–"


def way(entry: Entry) -> str:
    """How much of the way from fine-tuning to the bound a row covers."""
    if entry.way is None:
        return "–"
    share = round(100 * entry.way)
    return f"{share} %" if share >= 0 else "< 0"


def difference(found: Against | None, column: str) -> str:
    """A difference to the reference with its interval: '+5.1 ± 2.0'."""
    if found is None:
        return "–"
    if column in amounts.KINDS:
        return ("+" if found.difference > 0 else "") + amounts.amount(found.difference, column).replace("-", "−")
    factor = shown_factor(column)
    mean = signed(found.difference * factor)
    return mean if found.half_width is None else f"{mean} ± {found.half_width * factor:.1f}"


def fewer(board: Leaderboard) -> str:
    """What the mark of rows with fewer seeds means."""
    if not any(entry.lacks for entry in board.entries):
        return ""
    text = f"{FEWER} fewer seeds than other rows: differences are over the seeds that two rows share"
    groups = any(entry.against and not entry.against.paired for entry in board.entries)
    return f"{text}; rows that share fewer than two are compared as groups." if groups else f"{text}."


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


def _place(entry: Entry) -> str:
    rank = "" if entry.rank is None else str(entry.rank)
    return f"{rank}{MAY_BE_BEST if entry.may_be_best else ''}{FRONT_MARK if entry.front else ''}"


def _value(entry: Entry, metric: str, board: Leaderboard) -> str:
    if entry.diverged:
        return f"{entry.diverged}/{len(entry.seeds)} diverged" if metric == board.metrics[0] else "–"
    text = number(entry.estimates[metric], metric, board.interval)
    return text if not entry.warnings or metric in COSTS or text == "–" else WARNED + text


def p_value(p: float) -> str:
    """A p-value as text."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def caption(boards: Sequence[Leaderboard]) -> str:
    """What the numbers and marks of leaderboards mean."""
    interval, test = boards[0].interval, boards[0].test
    entries = [entry for board in boards for entry in board.entries]
    sentences = [f"Per cent, mean and 95 % interval over n seeds ({INTERVALS[interval]}); seconds: the whole run."]
    if any(entry.against for entry in entries):
        intervals = (
            "intervals are as wide as Holm's correction asks"
            if test in ("moderated", "t")
            else "intervals are Student's, each by itself"
        )
        sentences.append(
            f"Δ: difference to the reference ({TESTS[test]}; {intervals}). better, worse: p ≤ 5 % after correction; "
            "equal: smaller than the margin with a probability of 95 %; open: the seeds cannot tell."
        )
    if any(entry.may_be_best for entry in entries):
        sentences.append(
            f"{MAY_BE_BEST} may be the best: the true best is one of these with a probability of 95 % (Hsu)."
        )
    if any(entry.way is not None for entry in entries):
        sentences.append(
            "of the way: from fine-tuning to the bound, which has more than a method may have (all data at once)."
        )
    if any(entry.front for entry in entries):
        told = ", or of ".join(joined([*map(heading, objectives)]) for objectives in boards[0].fronts)
        sentences.append(f"{FRONT_MARK} on the Pareto front of {told}.")
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
    return " ".join(sentences)


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


def overall(found: AcrossBoards, column: str) -> Table:
    """Over several boards: mean difference to the reference and probability of improvement."""
    rows = [
        [row.label, difference(row.against, column), row.against.stand, f"{100 * row.improvement:.0f} %"]
        for row in found.rows
    ]
    header = ["strategy", f"Δ {found.reference}", "", "better in"]
    intro = (
        f"Over {len(found.boards)} leaderboards, each counting once; better in: the share of seeds in which a method "
        f"is ahead of {found.reference}. What holds on average need not hold on one of them."
    )
    return Table(f"{', '.join(found.boards)} together", header, rows, right=frozenset({1, 3}), intro=intro, kept=4)
