"""Tables of text: the same rows for a terminal, markdown, LaTeX or HTML."""

from __future__ import annotations

import html as escaping
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.console import Console

    from clbench.metrics.periods import Age
    from clbench.store import Result


SHORT_NAME = 28


@dataclass(frozen=True)
class Table:
    """Cells of text. ``right`` are the columns of numbers; ``strong`` the (row, column) cells that stand out; ``note``
    stands below, ``intro`` above; ``blocks``: titles of blocks of rows, by the row that they begin with; ``kept``: how
    many columns stay in a terminal that is too narrow for all.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: frozenset[int] = frozenset()
    strong: frozenset[tuple[int, int]] = frozenset()
    note: str = ""
    intro: str = ""
    blocks: Mapping[int, str] = field(default_factory=dict)
    kept: int = 2


def fitted(table: Table, width: int) -> Table:
    """A table without those of its last columns that a terminal has no room for; the first ``kept`` stay.

    What is left out is said in the note. Texts may wrap between words; numbers never do.
    """

    def needs(column: int) -> int:
        cells = [table.header[column], *(row[column] for row in table.rows)]
        cells += table.blocks.values() if column == 1 else ()
        if column in table.right:
            return max(map(len, cells))
        return max(len(word) for cell in cells for word in cell.split() or [""])

    count = len(table.header)
    widths = [needs(column) + 2 for column in range(count)]  # a space on either side
    while count > table.kept and sum(widths[:count]) > width:
        count -= 1
    if count == len(table.header):
        return table
    left_out = f"Not shown at this width: {', '.join(table.header[count:])}."
    return replace(
        table,
        header=table.header[:count],
        rows=[row[:count] for row in table.rows],
        note=f"{table.note} {left_out}".strip(),
    )


def print_table(table: Table, console: Console) -> None:
    """Print a table on a terminal; long texts wrap, numbers and short names never do."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table as RichTable
    from rich.text import Text

    table = fitted(table, console.width)
    title = escape(table.title) if table.title else None
    rich = RichTable(
        title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False
    )
    for column, name in enumerate(table.header):
        justify: Literal["left", "right"] = "right" if column in table.right else "left"
        whole = _is_short_name([row[column] for row in table.rows], first=column == 0)
        rich.add_column(escape(name), justify=justify, no_wrap=whole or column in table.right, overflow="fold")
    for row, cells in enumerate(table.rows):
        if row in table.blocks:
            rich.add_section()
            rich.add_row("", Text(table.blocks[row], style="italic dim"))
        texts = [
            Text(
                cell.replace(" ", "\u00a0") if column in table.right else cell,
                style="bold" if (row, column) in table.strong else "",
            )
            for column, cell in enumerate(cells)
        ]
        rich.add_row(*texts)
    if table.intro:
        console.print(rich.title or "", style="bold", highlight=False)
        console.print(table.intro, markup=False, highlight=False)
        rich.title = None
    console.print(rich)
    if table.note:
        console.print(table.note, style="yellow", markup=False, highlight=False)


def _is_short_name(cells: Sequence[str], first: bool) -> bool:
    """Whether a column is of names that would be broken within a word, while longer texts can wrap between words."""
    return all(len(cell) <= SHORT_NAME and (first or " " not in cell) for cell in cells)


def markdown(table: Table) -> str:
    """Return a table in markdown; a bar or tag in a cell is shown as text."""

    def cell(text: str, strong: bool = False) -> str:
        text = text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
        return f"**{text}**" if strong and text else text

    lines = [f"### {cell(table.title)}", ""] if table.title else []
    lines += [cell(table.intro), ""] if table.intro else []
    lines.append("| " + " | ".join(map(cell, table.header)) + " |")
    lines.append("|" + "|".join("---:" if c in table.right else "---" for c in range(len(table.header))) + "|")
    for index, row in enumerate(table.rows):
        if index in table.blocks:
            lines.append(f"| | *{cell(table.blocks[index])}* |" + " |" * (len(table.header) - 2))
        cells = [cell(text, (index, column) in table.strong) for column, text in enumerate(row)]
        lines.append("| " + " | ".join(cells) + " |")
    if table.note:
        lines += ["", cell(table.note)]
    return "\n".join(lines) + "\n"


LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "±": r"$\pm$", "≈": r"$\approx$", "Δ": r"$\Delta$", "λ": r"$\lambda$", "≤": r"$\le$", "×": r"$\times$",
    "–": "--", "−": "$-$", "·": r"$\cdot$", "◆": r"$\blacklozenge$", "★": r"$\bigstar$", "†": r"$\dagger$",
    "‡": r"$\ddagger$", "≥": r"$\ge$", "\n": " ", "|": r"\textbar{}",
    "[": "{[}",  # after a line's end it would begin an option
}  # fmt: skip


def latex(table: Table) -> str:
    """Return a table in LaTeX with booktabs' rules."""

    def cell(text: str, strong: bool = False) -> str:
        text = "".join(LATEX.get(letter, letter) for letter in text)
        return rf"\textbf{{{text}}}" if strong and text else text

    columns = "".join("r" if column in table.right else "l" for column in range(len(table.header)))
    lines = [r"\begin{table}", r"\centering"]
    caption = ". ".join(part for part in (table.title, table.intro) if part)
    lines += [rf"\caption{{{cell(caption)}}}"] if caption else []
    lines += [
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        " & ".join(map(cell, table.header)) + r" \\",
        r"\midrule",
    ]
    for index, row in enumerate(table.rows):
        if index in table.blocks:
            title = rf"\multicolumn{{{len(table.header)}}}{{l}}{{\textit{{{cell(table.blocks[index])}}}}}"
            lines += [*([r"\midrule"] if index else []), rf"{title} \\"]
        lines.append(" & ".join(cell(t, (index, c) in table.strong) for c, t in enumerate(row)) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\smallskip{{\footnotesize {cell(table.note)}}}"] if table.note else []
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def html(table: Table) -> str:
    """Return a table in HTML; everything in it is shown as text."""

    def cell(tag: str, column: int, text: str, strong: bool = False) -> str:
        kind = ' class="number"' if column in table.right else ""
        scope = ' scope="col"' if tag == "th" else ""
        text = escaping.escape(text)
        return f"<{tag}{scope}{kind}>{f'<strong>{text}</strong>' if strong and text else text}</{tag}>"

    lines = ["<table>"]
    lines += [f"<caption>{escaping.escape(table.title)}</caption>"] if table.title else []
    lines = [f"<p>{escaping.escape(table.intro)}</p>", *lines] if table.intro else lines
    lines.append("<thead><tr>" + "".join(cell("th", c, t) for c, t in enumerate(table.header)) + "</tr></thead>")
    lines.append("<tbody>")
    for index, row in enumerate(table.rows):
        if index in table.blocks:
            title = escaping.escape(table.blocks[index])
            lines.append(f'<tr><th scope="rowgroup" colspan="{len(table.header)}">{title}</th></tr>')
        cells = "".join(cell("td", c, t, (index, c) in table.strong) for c, t in enumerate(row))
        lines.append(f"<tr>{cells}</tr>")
    lines += ["</tbody>", "</table>"]
    lines += [f"<p>{escaping.escape(table.note)}</p>"] if table.note else []
    return "\n".join(lines) + "\n"


def accuracy_matrix(result: Result) -> Table:
    """R of one run in per cent: a row per stage, a column per task; a dash where a task was not evaluated."""
    tasks = len(result.accuracy[0])
    rows = [
        ["before training" if stage == 0 else f"stage {stage}", *("–" if v is None else f"{100 * v:.1f}" for v in row)]
        for stage, row in enumerate(result.accuracy)
    ]
    header = ["accuracy after", *(f"task {task + 1}" for task in range(tasks))]
    return Table("", header, rows, right=frozenset(range(1, tasks + 1)))


def age_curve(found: Sequence[Age]) -> Table:
    """Accuracy in per cent by the age of the model; ages below 0 are periods before the one it was trained on."""
    rows = [[str(age.periods).replace("-", "−"), f"{100 * age.accuracy:.1f}", str(age.stages)] for age in found]
    header = ["age in periods", "accuracy %", "stages"]
    return Table("age of the model", header, rows, right=frozenset({0, 1, 2}))
