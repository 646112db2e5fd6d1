"""Published numbers and claims of which a strategy is part, and what came out here."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from clbench.render import reproduction, tables
from clbench.reproduce import ENTRIES, Entry, Published
from clbench.reproduce.judge import Finding, findings
from clbench.store import parts
from docs.catalogue.boards import ROOT
from docs.catalogue.text import block, page, prose

FOLDER = ROOT / "results" / "reproduction"


@cache
def judged() -> Sequence[Finding]:
    """Return every published number and claim that the committed Results judge."""
    every = [finding for entry in ENTRIES.values() for finding in findings(entry, FOLDER)]
    return [finding for finding in every if finding.verdict != "not run"]


def of_strategy(name: str) -> str:
    """Return the section of one strategy; empty where nothing published of it was run here."""
    found = [finding for finding in judged() if name in _strategies(finding)]
    if not found:
        return ""
    entries = dict.fromkeys(finding.entry.name for finding in found)
    return page(
        "### Published numbers and claims",
        tables.markdown(reproduction.table(found)),
        prose(reproduction.caption()),
        "\n".join(f"- {prose(note)}" for note in reproduction.notes(found)),
        "All of them, and what they say: [findings](../../findings/reproductions.md).",
        block("\n".join(f"clbench reproduce {entry}" for entry in entries), "sh"),
    )


def _strategies(finding: Finding) -> set[str]:
    """The strategies that a finding is about."""
    said = finding.said
    arms = [said.arm] if isinstance(said, Published) else [said.better, said.worse]
    return {part for arm in arms for part in parts(_strategy(finding.entry, arm))}


def _strategy(entry: Entry, arm: str) -> str:
    section: Any = entry.arms[arm].get("strategy") or entry.setting.get("strategy") or ""
    return str(section["name"] if isinstance(section, dict) else section)
