"""Text of docstrings and Results as Markdown: escaped, with code, maths and links where they are meant."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from docs.catalogue.maths import spans

Link = Callable[[str], str | None]
# What Markdown, its usual extensions (maths, marks, superscripts) or HTML would take for theirs.
ENTITIES = {letter: f"&#{ord(letter)};" for letter in "&<>|$~^="}
ESCAPED = re.compile(r"([\\`*_{}\[\]#])")
LINE_START = re.compile(r"^(\s*)(?:([-+])(?=\s)|(\d+)([.)])(?=\s))", re.MULTILINE)
PIECE = re.compile(
    r"``(?P<code>[^`]+)``"
    r"|arXiv:(?P<arxiv>\d{4}\.\d{4,5})"
    r"|doi:(?P<doi>10\.[^\s,;()]+[^\s,;().])"
    r"|(?P<before>\b(?:[Aa]s (?:for|in|by|with)|same as|runs of|those of|that of|compose with) )?"
    r"(?<![\w)'])'(?P<quoted>[\w.+=*-]+)'(?![\w'])"
    r"|(?<![\w*])\*(?P<strong>[A-Za-z][\w ]*\w)\*(?![\w*])"
)


def slug(name: str) -> str:
    """Return a unit's name in letters, digits and hyphens, for files and anchors: 'der++' is 'der-plus-plus'.

    >>> slug("der++"), slug("ewc-fixed"), slug("average_accuracy")
    ('der-plus-plus', 'ewc-fixed', 'average-accuracy')
    """
    words = re.sub(r"[^a-z0-9]+", "-", name.lower().replace("+", "-plus-"))
    return words.strip("-")


def anchor(heading: str) -> str:
    """Return the anchor that a heading gets by itself, on a MkDocs site and on code hosts alike.

    >>> anchor("clbench sweep run"), anchor("average_accuracy"), anchor("der++")
    ('clbench-sweep-run', 'average_accuracy', 'der')
    """
    return re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower())


def slugs(names: Iterable[str]) -> dict[str, str]:
    """Return the slug of each name; ValueError where two names would share a file."""
    found: dict[str, str] = {}
    taken: dict[str, str] = {}
    for name in names:
        mine = slug(name)
        if not mine or mine in taken:
            raise ValueError(f"'{name}' and '{taken.get(mine, '')}' would both be the page '{mine}'. Rename one.")
        found[name] = taken[mine] = mine
    return found


def escaped(text: str) -> str:
    """Return text that Markdown shows as it stands."""
    text = ESCAPED.sub(r"\\\1", "".join(ENTITIES.get(letter, letter) for letter in text).replace("&#", "\0"))
    text = text.replace("\0", "&#")
    return LINE_START.sub(lambda m: f"{m[1]}\\{m[2]}" if m[2] else f"{m[1]}{m[3]}\\{m[4]}", text)


def code(text: str) -> str:
    """Return text as code, on one line; what would end the code or a table's cell goes in as HTML."""
    text = " ".join(text.split())
    if not text:
        return ""
    if any(letter in text for letter in "`|$"):
        return f"<code>{escaped(text)}</code>"
    return f"`{text}`"


def prose(text: str, link: Link | None = None) -> str:
    """Return a docstring's prose as Markdown: ``code``, 'values' and maths as code, arXiv and DOI as links.

    ``link`` says where a unit's page is, from the page that the text is for; "as for 'ewc'" becomes one.
    """
    made, end = [], 0
    for piece in PIECE.finditer(text):
        made.append(_plain(text[end : piece.start()]))
        end = piece.end()
        if piece["code"]:
            made.append(code(piece["code"]))
        elif piece["arxiv"]:
            made.append(arxiv(piece["arxiv"]))
        elif piece["strong"]:
            made.append(f"*{escaped(piece['strong'])}*")
        elif piece["doi"]:
            made.append(f"[doi:{escaped(piece['doi'])}](https://doi.org/{piece['doi']})")
        else:
            page = link(piece["quoted"]) if link and piece["before"] else None
            name = code(piece["quoted"])
            made.append(escaped(piece["before"] or "") + (f"[{name}]({page})" if page else name))
    made.append(_plain(text[end:]))
    return "".join(made)


def _plain(text: str) -> str:
    """Text without code or links of its own."""
    return "".join(code(part) if is_maths else escaped(part) for part, is_maths in spans(text))


def arxiv(number: str) -> str:
    """Return a link to a paper."""
    return f"[arXiv:{number}](https://arxiv.org/abs/{number})"


def cell(text: str, link: Link | None = None) -> str:
    """Return prose for a table's cell: on one line."""
    return " ".join(prose(" ".join(text.split()), link).split())


def values(text: str) -> str:
    """Return the words for an option's values as Markdown: choices as code, 'a | b or null' as three of them.

    >>> values("batch | online or null"), values("whole number ≥ 1 or null")
    ('`batch`, `online` or `null`', 'whole number ≥ 1 or `null`')
    """
    parts = []
    for part in text.split(" or "):
        listed, _, choices = part.rpartition("list of: ")
        told = ", ".join(map(code, choices.split(" | "))) if " | " in choices or choices == "null" else cell(choices)
        parts.append(f"list of: {told}" if listed or part.startswith("list of: ") else told)
    return " or ".join(parts)


def table(header: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> str:
    """Return a table of cells that are Markdown already."""
    aligned = {*right}
    lines = [header, ["---:" if place in aligned else "---" for place in range(len(header))], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def block(text: str, language: str = "text") -> str:
    """Return text in a fenced block, whose fence is longer than any within."""
    longest = max((len(found) for found in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}\n"


def joined(words: Sequence[str], last: str = "and") -> str:
    """Return words as in a sentence: 'a, b and c'."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def page(*parts: str) -> str:
    """Return a page of parts with a blank line between them; empty ones are left out."""
    return "\n\n".join(part.strip("\n") for part in parts if part.strip()) + "\n"
