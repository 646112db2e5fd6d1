"""Searches, for people: a line for each trial, and one for the choice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def trial(number: int, count: int, settings: Mapping[str, Any], value: float | None) -> str:
    """What a trial reached, the ``number``-th of so many."""
    return f"{number}/{count}  {words(settings)}: {percent(value)}"


def chosen(settings: Mapping[str, Any], metric: str, value: float) -> str:
    """What was chosen, and how good it is."""
    return f"chosen: {words(settings)} ({metric} {percent(value)} on held-out images)"


def words(settings: Mapping[str, Any]) -> str:
    """Settings on a line."""
    return ", ".join(
        f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}" for key, value in settings.items()
    )


def percent(value: float | None) -> str:
    """A metric in per cent, or that the trial diverged."""
    return "diverged" if value is None else f"{100 * value:.1f} %"
