"""A Result taken apart into texts that pack well, and put together again, to the last digit.

Of a Result's compact JSON its numbers are taken, each replaced by ``#``, and its images, strings of base64, each
replaced by ``@``; what is left is what runs of one kind share. A number between 0 and 1 that is a share of one of the
stream's sample counts is ``right/i``, where ``i`` is the place of that count (left out: 0); one whose binary digits
are fewer is hexadecimal, as ``x<digits>p<power>``. Each is so only where it gives back the very same text.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?')
_PLACES = re.compile(r'"(?:[^"\\]|\\.)*"|#|@')
_HEX = re.compile(r"0x1\.([0-9a-f]*?)0*p([+-]\d+)")
_BASE64 = re.compile(r'"[A-Za-z0-9+/]{200,}={0,2}"')  # longer than any digest
_COUNTS = 40  # of samples that are looked at


@dataclass(frozen=True)
class Apart:
    """A Result in parts: sample counts and sizes of images, by spaces; numbers, by commas; the rest; and the images."""

    counts: str
    sizes: str
    numbers: str
    rest: str
    images: bytes = b""


def apart(content: dict[str, Any]) -> Apart:
    """Return the parts of a Result's content, checksum and all."""
    counts = _counts(content)
    numbers: list[str] = []
    images: list[bytes] = []

    def taken(match: re.Match[str]) -> str:
        text = match[0]
        if text[0] != '"':
            numbers.append(_short(text, counts))
            return "#"
        image = _image(text)
        if image is None:
            return text
        images.append(image)
        return "@"

    rest = _TOKENS.sub(taken, json.dumps(content, separators=(",", ":"), allow_nan=False))
    sizes = " ".join(str(len(one)) for one in images)
    return Apart(" ".join(map(str, counts)), sizes, ",".join(numbers), rest, b"".join(images))


def together(parts: Apart) -> bytes:
    """Return the JSON of what was taken apart; ValueError or StopIteration if parts do not fit each other."""
    numbers = _numbers(parts.numbers.split(",") if parts.numbers else (), parts.counts.split())
    images = _images(parts)

    def given(match: re.Match[str]) -> str:
        text = match[0]
        return next(numbers) if text == "#" else next(images) if text == "@" else text

    text = _PLACES.sub(given, parts.rest)
    if next(numbers, None) is not None or next(images, None) is not None:
        raise ValueError("numbers or images are left over")
    return text.encode()


def _counts(content: dict[str, Any]) -> list[int]:
    """How many samples tasks have, those of tests first."""
    data = content.get("data")
    kinds = [data.get(key) for key in ("test_samples", "train_samples")] if isinstance(data, dict) else []
    found = [sorted({n for n in kind if isinstance(n, int) and n > 0}) for kind in kinds if isinstance(kind, list)]
    return list(dict.fromkeys(n for kind in found for n in kind))[:_COUNTS]


def _image(text: str) -> bytes | None:
    """The bytes of a string in quotes that is base64 and comes back as it was."""
    if not _BASE64.fullmatch(text):
        return None
    try:
        image = base64.b64decode(text[1:-1], validate=True)
    except binascii.Error:
        return None
    return image if base64.b64encode(image).decode() == text[1:-1] else None


def _images(parts: Apart) -> Iterator[str]:
    start = 0
    for size in map(int, parts.sizes.split()):
        yield f'"{base64.b64encode(parts.images[start : start + size]).decode()}"'
        start += size


def _short(number: str, counts: Sequence[int]) -> str:
    if not number.startswith("0.") or len(number) < 6:
        return _in_hex(number)
    value = float(number)
    for place, count in enumerate(counts):
        right = round(value * count)
        if repr(right / count) == number:
            return f"{right}/{place or ''}"
    return _in_hex(number)


def _in_hex(number: str) -> str:
    """The number in hexadecimal, where that is shorter and the same."""
    if "." not in number or not (found := _HEX.fullmatch(float(number).hex())):
        return number
    short = f"x{found[1]}p{int(found[2])}"
    return short if len(short) < 0.9 * len(number) and _of_hex(short) == number else number


def _of_hex(short: str) -> str:
    digits, _, power = short[1:].partition("p")
    return repr(float.fromhex(f"0x1.{digits}p{power}"))


def _numbers(short: Sequence[str], counts: Sequence[str]) -> Iterator[str]:
    for one in short:
        right, slash, place = one.partition("/")
        if slash:
            yield repr(int(right) / int(counts[int(place or 0)]))
        else:
            yield _of_hex(one) if one[:1] == "x" else one
