"""``clbench report``: one HTML file with everything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clbench.cli.compare import (
    Columns,
    Interval,
    IntervalKind,
    Margin,
    Paths,
    Reference,
    Scenarios,
    Strategies,
    Test,
    TestKind,
    Where,
    load_chosen,
)
from clbench.cli.output import for_people, note

EXAMPLES = """[bold]Examples[/bold]

clbench report

clbench report results/baseline mine -o report.html --scenario 'split-*'"""


def report(
    paths: Paths = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")] = Path("report.html"),
    scenario: Scenarios = None,
    strategy: Strategies = None,
    where: Where = None,
    metric: Columns = None,
    interval: IntervalKind = Interval.t,
    test: TestKind = Test.moderated,
    against: Reference = None,
    margin: Margin = 1.0,
) -> None:
    """Write leaderboards, pictures, cost and the provenance of every number as one HTML file without network."""
    from clbench.analysis.compare import Method, check_metrics, leaderboards
    from clbench.analysis.ranking import ranking
    from clbench.errors import UserError
    from clbench.render.report import build
    from clbench.store import write_text

    columns = check_metrics(metric or ())
    left_out: list[str] = []
    runs = load_chosen(paths or [Path("results")], scenario, strategy, where, absent=left_out)
    method = Method(columns, interval.value, test.value, None, against, margin / 100)
    boards = leaderboards(runs, method)
    with for_people().status("making the report") as status:
        page = build(boards, ranking(boards), runs, left_out, lambda doing: status.update(f"report: {doing}"), method)
    try:
        write_text(output, page)
    except OSError as error:
        raise UserError(f"--output {output} cannot be written ({error.strerror}). Name another file.") from None
    note(f"wrote {output} ({len(page.encode()) / 2**20:.1f} MiB)")
