"""SVG files without what no eye sees: digits beyond a hundredth of a point, comments, indentation, repeated styles."""

from __future__ import annotations

import re
from collections import Counter
from hashlib import sha256

_PLACE = re.compile(r'(?<= )(d|x|y|width|height)="([^"]*)"')
_NUMBER = re.compile(r"-?\d+\.\d{3,}(?:e-?\d+)?")
_COMMENT = re.compile(r"<!--.*?-->\s*", re.DOTALL)
_INDENTED = re.compile(r"\n\s+(?=<)")
_UNTURNED = re.compile(r' transform="rotate\(-?0 [^)]*\)"')
_STYLE = re.compile(r' style="([^"]*)"')


def lighter(text: str) -> str:
    """Return an SVG of matplotlib's that shows the same: its coordinates, points of 1/72 inch, have two decimals."""
    for needless in (_COMMENT, _UNTURNED):
        text = needless.sub("", text)
    return _with_classes(_INDENTED.sub("\n", _PLACE.sub(_rounded, text)))


def _with_classes(text: str) -> str:
    """What elements share of style, as classes; their names come from the style, so that pictures in one page agree."""
    often = [style for style, count in Counter(_STYLE.findall(text)).items() if count > 1]
    names = {style: f"c{sha256(style.encode()).hexdigest()[:6]}" for style in often}
    rules = "".join(f"\n.{name}{{{style}}}" for style, name in names.items())
    text = _STYLE.sub(lambda match: f' class="{names[match[1]]}"' if match[1] in names else match[0], text)
    return text.replace("</style>", f"{rules}</style>", 1)


def _rounded(match: re.Match[str]) -> str:
    name, value = match[1], match[2]
    short = _NUMBER.sub(_two, value)
    if name == "d":  # commands need no space after their letter, nor a line each
        short = re.sub(r"\s*([A-Za-z])\s*", r"\1", " ".join(short.split()))
    return f'{name}="{short}"'


def _two(number: re.Match[str]) -> str:
    """The number with two decimals at most: '12.3', '-4', '0'."""
    short = f"{float(number[0]):.2f}".rstrip("0").rstrip(".")
    return "0" if short == "-0" else short
