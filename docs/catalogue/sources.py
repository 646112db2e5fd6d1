"""Where a unit comes from: the papers that its docstring cites, and the places in them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from docs.catalogue.text import arxiv, escaped

NAME = r"(?:van (?:de |der )?|de )?[A-ZÀ-ÞŠŽČ][\w’-]*[a-zß-ÿėčš]"
AUTHORS = rf"{NAME}(?:(?:, | and ){NAME})*(?: et al\.)? \d{{4}}"
CITED = re.compile(
    rf"(?P<authors>{AUTHORS})(?:\s\((?P<inside>[^()]*(?:\([^()]*\)[^()]*)*)\)|,\s(?P<bare>(?:arXiv|doi):\S+))?"
)
NUMBER = re.compile(r"arXiv:(\d{4}\.\d{4,5})|doi:(10\.[^\s,;()]+[^\s,;().])")
WITHIN = re.compile(
    r"\b(?:eqs?\.|algorithm|theorem|definition|section|sections)\s\d+(?:\.\d+)*(?:(?:,| and| to|–)\s?\d+(?:\.\d+)*)*"
)


@dataclass(frozen=True)
class Source:
    """A paper: who and when, and its number where the docstring has one."""

    authors: str
    link: str


def sources(doc: str) -> list[Source]:
    """Return the papers that a docstring cites, each once, in order."""
    doc = " ".join(doc.split())
    found: dict[str, Source] = {}
    taken: list[tuple[int, int]] = []
    for cited in CITED.finditer(doc):
        inside = cited["inside"] or cited["bare"] or ""
        number = NUMBER.search(inside)
        venue = "" if number or not inside or not re.fullmatch(r"[\w &]+", inside) else f" ({escaped(inside)})"
        key = number[0] if number else cited["authors"]
        taken.append(cited.span())
        known = found.get(key)
        if known is None:
            found[key] = Source(escaped(cited["authors"]) + venue, linked(number))
    for number in NUMBER.finditer(doc):
        if number[0] not in found and not any(start <= number.start() < end for start, end in taken):
            found[number[0]] = Source("", linked(number))
    return list(found.values())


def linked(number: re.Match[str] | None) -> str:
    """Return the link that a match of an arXiv or DOI number makes; empty for none."""
    if number is None:
        return ""
    if number[1]:
        return arxiv(number[1])
    return f"[doi:{escaped(number[2])}](https://doi.org/{number[2]})"


def told(doc: str) -> str:
    """Return the cited papers as Markdown."""
    papers = [", ".join(filter(None, (source.authors, source.link))) for source in sources(doc)]
    return "; ".join(papers)


def within(doc: str) -> str:
    """Return the equations, algorithms and sections that a docstring names, as it names them: 'eq. 3, section 6'."""
    return ", ".join(dict.fromkeys(found[0] for found in WITHIN.finditer(" ".join(doc.split()))))
