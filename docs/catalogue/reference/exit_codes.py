"""Exit codes: those of every command, as its own documentation says them."""

from __future__ import annotations

import re

from docs.catalogue.reference.commands import Command, every
from docs.catalogue.text import anchor, cell, code, page, prose, table

SAID = re.compile(r"Exit code (?P<codes>\d+: .*?)\.(?:\s|$)", re.DOTALL)
WITHIN = re.compile(r"exit code (?P<code>\d+) (?P<when>if [^;.(]+)")
CODES = {
    0: "all is well",
    1: "the answer is no: a run diverged, a check failed, a cache was damaged",
    2: "something to correct; one paragraph on stderr says what and how",
    130: "stopped by Ctrl-C",
    143: "stopped by SIGTERM",
}
INTRO = (
    "They are the same everywhere. After 130 and 143 what had ended is written and whole, and the same command goes on "
    "from there: ``clbench run`` with ``--resume``, ``clbench sweep`` as it is."
)


def exit_codes_page() -> str:
    """Return the page of exit codes."""
    rows = [[code(str(number)), cell(meaning)] for number, meaning in CODES.items()]
    own = [
        [f"[{code(one.name)}](commands.md#{anchor(one.name)})", cell(found)] for one in every() if (found := said(one))
    ]
    return page(
        "# Exit codes",
        prose(INTRO),
        table(["code", "meaning"], rows),
        "## Of single commands",
        "Commands that are not here end with 0, or with 2.",
        table(["command", "codes"], own),
    )


def said(command: Command) -> str:
    """Return what a command's documentation says of its exit codes; empty where it says nothing."""
    if getattr(command.made, "commands", {}):
        return ""
    found, within = SAID.search(command.help), WITHIN.search(command.help)
    told = found["codes"] if found else f"{within['code']}: {within['when']}" if within else ""
    return " ".join(told.split())
