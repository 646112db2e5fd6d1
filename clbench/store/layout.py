"""How a Result's file is laid out, so that people can read its diff: a row of R, a stage or a metric on each line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

WIDTH = 120  # what fits stays on one line


def laid_out(value: Any, indent: int = 0, key: str = "") -> str:
    """Return JSON in which sections that fit, lists of plain values, and each item of other lists are one line each."""
    line = json.dumps(value, ensure_ascii=False, allow_nan=False)
    fits = indent + len(line) <= WIDTH and key != "accuracy"  # R reads as a matrix, however small
    if indent and (fits or not _is_nested(value)):
        return line
    inner, outer = " " * (indent + 1), " " * indent
    if isinstance(value, dict):
        rows = [f"{inner}{json.dumps(key)}: {laid_out(one, indent + 1, key)}" for key, one in value.items()]
        return "{\n" + ",\n".join(rows) + f"\n{outer}}}"
    rows = [inner + json.dumps(one, ensure_ascii=False, allow_nan=False) for one in value]
    return "[\n" + ",\n".join(rows) + f"\n{outer}]"


def _is_nested(value: Any) -> bool:
    if isinstance(value, list):
        return any(isinstance(one, list | dict) for one in value)
    return isinstance(value, Mapping) and bool(value)
