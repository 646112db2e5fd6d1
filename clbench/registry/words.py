"""What a unit's documentation says of each of its options, and of what it costs. Nothing is imported.

After the prose a docstring has an entry for each option, 'lam: strength of the penalty.'; entries may follow one
another on a line. "rate: as for 'mas'." takes that unit's words, "Others as for 'ewc'." those of all options that are
left. A last paragraph or line 'Cost: …' says what the unit costs beside a run without it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from clbench.registry.catalogue import Listed

BORROWED = re.compile(r"(?:Others|Options) as for '([^']+)'\.")
AS_FOR = re.compile(r"as for '([^']+)'")
COST = re.compile(r"^Cost: ", re.MULTILINE)


@dataclass(frozen=True)
class Words:
    """A docstring taken apart. ``options``: the words of each; ``others``: the unit that has those of the rest."""

    prose: str
    options: Mapping[str, str]
    others: str | None
    cost: str


def taken_apart(doc: str, options: Iterable[str]) -> Words:
    """Take a docstring apart into prose, the words of options, and cost."""
    before, *after = COST.split(doc, maxsplit=1)
    paragraphs = [_joined(text) for text in before.split("\n\n") if text.strip()]
    borrowed = [found for text in paragraphs for found in BORROWED.findall(text)]
    prose, found = [], dict[str, str]()
    for text in paragraphs:
        first, *entries = _entries(options).split(BORROWED.sub("", text))
        prose.append(first.strip())
        for names, words in zip(entries[::2], entries[1::2], strict=True):
            found |= dict.fromkeys(names.split(", "), words.strip().rstrip("."))
    cost = _joined(after[0]) if after else ""
    return Words("\n\n".join(filter(None, prose)), found, borrowed[0] if borrowed else None, cost)


def words(unit: Listed, units: Mapping[str, Listed]) -> Words:
    """The words of a unit, those that it takes from others filled in."""
    names = [option.name for option in unit.options]
    own = taken_apart(unit.doc, names)
    found = dict(own.options)
    for name in names:
        if name not in found and own.others in units:
            found |= {name: f"as for '{own.others}'"}
        source = AS_FOR.match(found.get(name, ""))
        if source and source[1] in units and source[1] != unit.name:
            theirs = words(units[source[1]], units).options.get(name, "")
            found[name] = theirs + found[name].removeprefix(source[0])
    return Words(own.prose, {name: found[name] for name in names if name in found}, own.others, own.cost)


def _entries(options: Iterable[str]) -> re.Pattern[str]:
    """Where the entry of an option, or of several, begins: at the start of a sentence."""
    names = "|".join(map(re.escape, options)) or r"(?!)"
    return re.compile(rf"(?:^|(?<=\. )|(?<=\.\) ))((?:{names})(?:, (?:{names}))*): ")


def _joined(text: str) -> str:
    """A paragraph on one line; one with lines that are indented or listed stays as it is."""
    lines = text.strip("\n").split("\n")
    return text.strip() if any(re.match(r"\s|[-*>]", line) for line in lines[1:]) else " ".join(lines).strip()
