"""A Result as a line of a pack, and back, to the last digit.

The text of a Result, as compact JSON, is taken apart: its numbers, each replaced by ``#``, and what is left, which runs
of one kind share. A number between 0 and 1 that is a share of one of the stream's sample counts is ``right/i``, where
``i`` is the place of that count in the first part (left out: 0); one whose binary digits are fewer is hexadecimal, as
``x<digits>p<power>``. Each is so only where it gives back the very same text. The three parts (counts, numbers, the
rest), a line each, are compressed (deflate, with what the pack's Results share as its dictionary) and written in the
85 ASCII characters of ``base64.b85encode``.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?')
_PLACES = re.compile(r'"(?:[^"\\]|\\.)*"|#')
_HEX = re.compile(r"0x1\.([0-9a-f]*?)0*p([+-]\d+)")
_COUNTS = 40  # of samples that are looked at
LARGEST = 256 * 2**20  # bytes that a line may unfold to; a Result has thousands


def encode(content: dict[str, Any], dictionary: bytes) -> str:
    """Return a Result's content, checksum and all, as ASCII text."""
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zdict=dictionary)
    return base64.b85encode(squeezer.compress(apart(content).encode()) + squeezer.flush()).decode()


def decode(text: str, dictionary: bytes) -> bytes:
    """Return the JSON of what was encoded; ValueError if it is damaged."""
    opener = zlib.decompressobj(-15, zdict=dictionary)
    try:
        raw = opener.decompress(base64.b85decode(text), LARGEST)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if not opener.eof or opener.unused_data:
        raise ValueError("it is cut off or too long")
    counts, numbers, rest = raw.decode().split("\n")
    found = _numbers(numbers.split(","), counts.split())
    text = _PLACES.sub(lambda match: next(found) if match[0] == "#" else match[0], rest)
    if next(found, None) is not None:
        raise ValueError("numbers are left over")
    return text.encode()


def apart(content: dict[str, Any]) -> str:
    """Return the three parts of a Result's content: counts of samples, numbers, and what is left."""
    counts = _counts(content)
    numbers: list[str] = []

    def taken(match: re.Match[str]) -> str:
        if match[0][0] == '"':
            return match[0]
        numbers.append(_short(match[0], counts))
        return "#"

    rest = _TOKENS.sub(taken, json.dumps(content, separators=(",", ":"), allow_nan=False))
    return "\n".join([" ".join(map(str, counts)), ",".join(numbers), rest])


def _counts(content: dict[str, Any]) -> list[int]:
    """How many samples tasks have, those of tests first."""
    data = content.get("data")
    kinds = [data.get(key) for key in ("test_samples", "train_samples")] if isinstance(data, dict) else []
    found = [sorted({n for n in kind if isinstance(n, int) and n > 0}) for kind in kinds if isinstance(kind, list)]
    return list(dict.fromkeys(n for kind in found for n in kind))[:_COUNTS]


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
