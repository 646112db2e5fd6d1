"""``clbench.check``: the regression gate, from a program. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clbench.analysis import check as gate
from clbench.analysis.compare import check_metrics
from clbench.analysis.costs import COSTS
from clbench.analysis.runs import Run
from clbench.analysis.verdicts import DEFAULT_MARGIN, CellCheck, Check, Mode
from clbench.api.found import HERE, Places, Texts, chosen, texts, warn_left_out
from clbench.errors import UserError


@dataclass(frozen=True)
class Checked:
    """What the regression gate found. Printed it is ``clbench check``'s table and its conclusion."""

    check: Check

    @property
    def passed(self) -> bool:
        """Whether nothing is worse, missing, failed or not to be compared."""
        return self.check.passed

    @property
    def cells(self) -> Sequence[CellCheck]:
        """Every configuration with its verdict, the gravest first."""
        return self.check.cells

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        from clbench.render.checks import print_check
        from clbench.render.summaries import as_printed

        return as_printed(lambda console: print_check(self.check, console))

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        """Return the table for a notebook; whatever comes from outside is shown as text."""
        from clbench.render.checks import as_html

        return as_html(self.check)


def check(
    baseline: Places,
    results: Places = HERE,
    *,
    mode: Mode = "statistical",
    scenario: Texts = (),
    strategy: Texts = (),
    where: Texts = (),
    metric: Texts = (),
    margin: float | Mapping[str, float] = DEFAULT_MARGIN,
    alpha: float = 0.05,
    strict: bool = False,
) -> Checked:
    """Say whether results are worse than a baseline, configuration by configuration, as ``clbench check`` does.

    ``margin``: how much worse is allowed, 0.01 is a point; or for each metric. ``mode``: 'statistical', or 'exact' (R
    bit for bit). Nothing is raised for a regression: ask ``passed``. Raises UserError as the command line does.
    """
    gated = gated_metrics(texts(metric))
    folder = Path(baseline) if isinstance(baseline, str | Path) else None
    before = chosen(baseline, scenario, strategy, where, told=warn_left_out)
    after = chosen(results, scenario, strategy, where, folder, told=warn_left_out)
    margins = margin if isinstance(margin, Mapping) else dict.fromkeys(gated, margin)
    return gated_by(before, after, mode, gated, margins, alpha, strict)


def gated_metrics(names: Sequence[str]) -> list[str]:
    """Return the metrics that names mean, those that a gate looks at by default; UserError for a cost."""
    gated = check_metrics(names or gate.DEFAULT_METRICS)
    if costs := [column for column in gated if column in COSTS]:
        raise UserError(f"--metric {costs[0]}: what a run costs cannot be gated. Name metrics of accuracy.")
    return gated


def gated_by(
    before: Sequence[Run],
    after: Sequence[Run],
    mode: Mode,
    gated: Sequence[str],
    margins: Mapping[str, float],
    alpha: float,
    strict: bool,
) -> Checked:
    """Judge runs by a baseline's."""
    return Checked(gate.check(before, after, gate.Rules(mode, gated, margins, alpha, strict)))
