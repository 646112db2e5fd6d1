"""``clbench check``: the regression gate."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clbench.cli import completion
from clbench.cli.compare import Paths, Scenarios, Strategies, Where, load_chosen
from clbench.cli.output import for_people, for_tables, note

if TYPE_CHECKING:
    from clbench.analysis.check import Check
    from clbench.analysis.runs import Run

EXAMPLES = """[bold]Examples[/bold]

clbench check --baseline results/baseline mine

clbench check --baseline results/baseline mine --strategy ewc --scenario split-digits --margin 0.02

clbench check --baseline results/baseline mine --mode exact --junit check.xml --github-summary

clbench check --baseline results/baseline mine --update"""


class Mode(str, Enum):
    """Modes of the gate."""

    statistical = "statistical"
    exact = "exact"


def check(
    paths: Paths = None,
    baseline: Annotated[Path, typer.Option(help="Folder, file or pattern of the baseline's Results.")] = Path(
        "results/baseline"
    ),
    mode: Annotated[
        Mode, typer.Option(help="statistical: not worse by more than a margin; exact: R bit for bit.")
    ] = Mode.statistical,
    scenario: Scenarios = None,
    strategy: Strategies = None,
    where: Where = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            autocompletion=completion.columns,
            help="Metric to gate, repeatable. \\[default: average_accuracy, forgetting, learning_accuracy]",
        ),
    ] = None,
    margin: Annotated[
        list[str] | None,
        typer.Option(metavar="[METRIC=]X", help="How much worse is allowed: 0.01 is a point. \\[default: 0.01]"),
    ] = None,
    alpha: Annotated[float, typer.Option(min=0.0001, max=0.5, help="False-alarm rate of the whole check.")] = 0.05,
    strict: Annotated[bool, typer.Option("--strict", help="Fail also where the margin is not shown to hold.")] = False,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML.")] = None,
    github_summary: Annotated[
        bool, typer.Option("--github-summary", help="Write a GitHub job summary, and annotations on stdout.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON on stdout.")] = False,
    update: Annotated[bool, typer.Option("--update", help="Show the difference, then rewrite the baseline.")] = False,
) -> None:
    """Say whether Results are worse than a baseline, cell by cell: one configuration over its seeds.

    Filters apply to both sides. What the baseline has and the candidate lacks fails too: a cell, a seed, a metric; and
    so do more diverged seeds.
    Exit code 0: passed (or updated); 1: something is worse; 2: something to correct.
    """
    from clbench.api.gates import gated_by, gated_metrics
    from clbench.errors import UserError
    from clbench.render import checks
    from clbench.store import write_text

    gated = gated_metrics(metric or ())
    if update and not baseline.is_dir():
        raise UserError(f"--update: {baseline} is not a folder. Name the folder of the baseline with --baseline.")
    margins = _margins(margin or [], gated)
    before = load_chosen([baseline], scenario, strategy, where)
    after = load_chosen(paths or [Path("results")], scenario, strategy, where, without=baseline)
    found = gated_by(before, after, mode.value, gated, margins, alpha, strict).check
    if as_json:
        sys.stdout.write(checks.as_json(found))
    else:
        checks.print_check(found, for_tables())
    if junit is not None:
        try:
            write_text(junit, checks.as_junit(found))
        except OSError as error:
            raise UserError(f"--junit {junit} cannot be written ({error.strerror}). Name another file.") from None
    if github_summary:
        _tell_github(found)
    if update:
        _update(baseline, before, after)
    elif not found.passed:
        raise typer.Exit(1)


def _margins(texts: Sequence[str], gated: Sequence[str]) -> dict[str, float]:
    """Read ``0.02`` (for every metric) and ``forgetting=0.02``."""
    from clbench.analysis.compare import check_metrics
    from clbench.errors import UserError

    margins: dict[str, float] = {}
    for text in texts:
        name, equals, value = text.rpartition("=")
        try:
            margin = float(value)
        except ValueError:
            margin = -1.0
        if not 0 <= margin < 1:
            raise UserError(f"--margin {text}: expected a share from 0 to 1, such as 0.01 or forgetting=0.02.")
        named = check_metrics([name]) if equals else gated
        if named[0] not in gated:
            raise UserError(f"--margin {text}: {named[0]} is not gated. Add --metric {named[0]}.")
        margins |= dict.fromkeys(named, margin)
    return margins


def _tell_github(found: Check) -> None:
    """Append to the job's summary if there is one, and print annotations."""
    from clbench.errors import UserError
    from clbench.render import checks

    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        try:
            with open(summary, "a", encoding="utf-8") as stream:
                stream.write(checks.as_markdown(found))
        except OSError as error:
            raise UserError(f"$GITHUB_STEP_SUMMARY {summary} cannot be written ({error.strerror}).") from None
    else:
        note("Not in a GitHub job ($GITHUB_STEP_SUMMARY is not set): annotations only.")
    sys.stdout.write(checks.workflow_commands(found))


def _update(folder: Path, before: Sequence[Run], after: Sequence[Run]) -> None:
    """Put the candidate's cells in the place of the baseline's; cells without a candidate stay as they are.

    New files are written before old ones go, so that an interruption loses nothing; what was packed becomes single.
    """
    from clbench import store
    from clbench.analysis.pairs import pairs

    cells = seeds = 0
    for pair in pairs(before, after):
        if not pair.candidate:
            continue
        if any(run.status != "ok" for run in pair.candidate):
            note(f"Not updated: {pair.label} on {pair.scenario} has diverged runs.")
            continue
        written = [store.write(store.read(run.path), folder) for run in pair.candidate if run.path]
        kept = {path.resolve() for path in written}
        store.remove(run.path for run in pair.baseline if run.path and run.path.resolve() not in kept)
        cells, seeds = cells + 1, seeds + len(written)
    for_people().print(f"Updated {folder}: {cells} cells, {seeds} Results.", markup=False, highlight=False)
