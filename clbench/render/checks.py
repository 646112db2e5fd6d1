"""The gate's outcome as a table, JSON, JUnit XML and GitHub's job summary and annotations."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from html import escape
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from clbench.analysis.verdicts import Check, MetricCheck
from clbench.render.leaderboards import heading, p_value
from clbench.render.tables import Table, html, markdown, print_table

if TYPE_CHECKING:
    from rich.console import Console

WIDE = 120  # columns from which a remark has room in the table
POINTS = "points, positive is better"


def summary(check: Check) -> str:
    """One line: passed or failed, and how many cells of each verdict."""
    counts = Counter(cell.verdict for cell in check.cells)
    words = ", ".join(f"{count} {verdict}" for verdict, count in counts.items()) or "nothing to check"
    return f"{'Passed' if check.passed else 'FAILED'} ({check.rules.mode}): {words}."


def table(check: Check, wide: bool = True) -> Table:
    """A row per cell, the gravest first; in statistical mode with each metric's change.

    ``wide`` adds the change's bound and the remark; without it, ``remarks`` says what there is no room for.
    """
    names = list(check.rules.metrics) if check.rules.mode == "statistical" else []
    rows = []
    for cell in check.cells:
        found = {one.metric: one for one in cell.metrics}
        changes = [_change(found[name], wide) if name in found else "–" for name in names]
        verdict = cell.verdict.upper() if cell.fails else cell.verdict
        rows.append([verdict, cell.scenario, cell.label, *changes, *([cell.reason] if wide else [])])
    header = [
        "verdict",
        "scenario",
        "strategy",
        *(f"Δ {heading(name)}" for name in names),
        *(["remark"] if wide else []),
    ]
    strong = frozenset((row, 0) for row, cell in enumerate(check.cells) if cell.fails)
    return Table("", header, rows, right=frozenset(range(3, 3 + len(names))), strong=strong)


def print_check(check: Check, console: Console) -> None:
    """Print the table, what the gate asked, and what follows."""
    wide = console.width >= WIDE
    print_table(table(check, wide), console)
    if not wide and (found := remarks(check)):
        console.print(found, markup=False, highlight=False)
    console.print(caption(check, wide), style="dim", markup=False, highlight=False)
    console.print(summary(check), style="bold green" if check.passed else "bold red", markup=False)


def remarks(check: Check) -> str:
    """A line per cell that has something to be said of it."""
    return "\n".join(f"{cell.label} on {cell.scenario}: {cell.reason}" for cell in check.cells if cell.reason)


def caption(check: Check, wide: bool = True) -> str:
    """What the gate asked."""
    rules = check.rules
    if rules.mode == "exact":
        return "Exact: the same R, bit for bit, for every seed of the baseline."
    margins = ", ".join(f"{100 * rules.margin(name):g} in {heading(name)}" for name in rules.metrics)
    return (
        f"Mean change over seeds in {POINTS}"
        + (f", and its lower bound at {100 * (1 - rules.alpha):g} % confidence. " if wide else ". ")
        + f"Worse: below the baseline by more than {margins} (one-sided t-tests paired by seed, variances moderated "
        "over cells, Benjamini and Hochberg's method over all tests: without a drop, at most "
        f"{100 * rules.alpha:g} % of checks fail). "
        "Unclear: neither that nor its contrary is shown" + ("; --strict makes it fail." if rules.strict else ".")
    )


def _change(found: MetricCheck, with_bound: bool = True) -> str:
    change = f"{100 * found.drop.difference:+.1f}"
    bound = found.drop.at_least
    return f"{change} ≥ {100 * bound:+.1f}" if with_bound and bound is not None else change


def as_json(check: Check) -> str:
    """Everything that is known, unrounded."""
    return json.dumps({"passed": check.passed} | asdict(check), indent=1, ensure_ascii=False) + "\n"


def as_junit(check: Check) -> str:
    """JUnit's XML: a suite per scenario, a case per cell; cells that fail are failures, unclear ones are skipped."""
    root = ElementTree.Element("testsuites", name="clbench check")
    for scenario in sorted({cell.scenario for cell in check.cells}):
        cells = [cell for cell in check.cells if cell.scenario == scenario]
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=_legal(scenario),
            tests=str(len(cells)),
            failures=str(sum(cell.fails for cell in cells)),
        )
        for cell in cells:
            case = ElementTree.SubElement(suite, "testcase", classname=_legal(scenario), name=_legal(cell.label))
            message = (
                f"{cell.verdict}: {_told(cell.metrics)}{'; ' if cell.reason and cell.metrics else ''}{cell.reason}"
            )
            if cell.fails:
                ElementTree.SubElement(case, "failure", type=cell.verdict, message=_legal(message))
            elif cell.verdict == "unclear":
                ElementTree.SubElement(case, "skipped", message=_legal(message))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _told(found: list[MetricCheck]) -> str:
    return ", ".join(
        f"{one.metric} {_change(one)}" + (f" (p {p_value(one.p)})" if one.p is not None else "") for one in found
    )


def _legal(text: str) -> str:
    """Text without the control characters that XML forbids."""
    return "".join(c for c in text if c in "\t\n" or (ord(c) >= 32 and not 0xD800 <= ord(c) < 0xE000))


def as_html(check: Check) -> str:
    """The conclusion, then the table."""
    return f"<p>{escape(summary(check))}</p>\n{html(table(check))}<p>{escape(caption(check))}</p>\n"


def as_markdown(check: Check) -> str:
    """A GitHub job summary."""
    return f"## clbench check\n\n**{summary(check)}**\n\n{markdown(table(check))}\n{caption(check)}\n"


def workflow_commands(check: Check) -> str:
    """GitHub's workflow commands: an error for each cell that fails, a warning for each that is unclear."""
    lines = []
    for cell in check.cells:
        if cell.fails or cell.verdict == "unclear":
            title = _command(f"{cell.scenario}: {cell.label} {cell.verdict}", property_=True)
            text = _command("; ".join(part for part in (_told(cell.metrics), cell.reason) if part))
            lines.append(f"::{'error' if cell.fails else 'warning'} title={title}::{text}")
    return "".join(f"{line}\n" for line in lines)


def _command(text: str, property_: bool = False) -> str:
    """Escape text for a workflow command."""
    for letter, code in (("%", "%25"), ("\r", "%0D"), ("\n", "%0A")):
        text = text.replace(letter, code)
    return text.replace(":", "%3A").replace(",", "%2C") if property_ else text
