"""Published numbers beside ours, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from clbench.analysis.statistics import Estimate
from clbench.render.tables import Table
from clbench.reproduce.entry import Published
from clbench.reproduce.judge import Finding

SHORT = {
    "average_accuracy": "accuracy",
    "forgetting_all_tasks": "forgetting",
    "learning_accuracy": "learning",
}


def table(found: Sequence[Finding], *, wide: bool = True) -> Table:
    """A row for each published number or claim; narrow tables leave out what the entry is about."""
    rows = [_row(finding, wide) for finding in found]
    what = ["what"] if wide else []
    header = ["name", *what, "arm", "metric", "published", "ours", "control", "n", "verdict", "min"]
    first = 3 + wide
    return Table("", header, rows, right=frozenset({*range(first, first + 4), first + 5}))


def _row(finding: Finding, wide: bool) -> list[str]:
    entry, said = finding.entry, finding.said
    if isinstance(said, Published):
        arm, published, ours = said.arm, f"{100 * said.value:.1f} ± {100 * said.tolerance:.1f}", _percent(finding.ours)
    else:
        arm, published, ours = f"{said.better} over {said.worse}", "better", _percent(finding.ours, sign=True)
    if finding.older:
        arm += " (older version)"
    if finding.diverged:
        ours = f"{ours} ({finding.diverged} diverged)".strip()
    control = "" if finding.control is None else f"{100 * finding.control.mean:.1f}"
    count = "" if finding.ours is None else str(finding.ours.n)
    what = [entry.what] if wide else []
    metric = SHORT.get(said.metric, said.metric.replace("_", " "))
    return [entry.name, *what, arm, metric, published, ours, control, count, finding.verdict, f"{entry.minutes:.0f}"]


def _percent(value: Estimate | None, sign: bool = False) -> str:
    if value is None:
        return ""
    mean = f"{100 * value.mean:+.1f}" if sign else f"{100 * value.mean:.1f}"
    return mean if value.half_width is None else f"{mean} ± {100 * value.half_width:.1f}"


def caption() -> str:
    """What the columns mean."""
    return (
        "Per cent, mean and 95 % interval over n seeds; for a claim the difference in pairs of seeds, positive if it "
        "is as claimed. within: no further from the published number than its tolerance (published spread, or "
        "rounding, one seed, a figure read off) and our interval together. holds, fails: the interval leaves 0 out. "
        "control: fine-tuning in the same set-up. min: minutes on two cores. older version: made before the strategy's "
        "numbers changed; run again, it is of today's."
    )


def notes(found: Sequence[Finding]) -> list[str]:
    """How set-ups differ from their sources', an entry each."""
    entries = {finding.entry.name: finding.entry for finding in found}
    return [f"{entry.name} ({entry.source}): {entry.differs}" for entry in entries.values() if entry.differs]
