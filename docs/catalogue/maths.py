"""Where in a sentence the maths is. Docstrings write equations in the field's letters, among the words."""

from __future__ import annotations

import re

# A word with one of these is maths; '|' and '_' stand in norms and indices.
SIGNS = frozenset("←→·√Σ∑∇∂‖∝≤≥≠×∈ᵀ²³⁻ΔΘΛΦαβγδεζηθκλμνξπρσστφχψωÛ₊₀₁₂∞|ℓ∼_")
OPERATORS = frozenset({"←", "→", "=", "+", "−", "-", "/", "·", "<", ">", "≤", "≥", "~", "×", "∈", "∝", "≠", "‖"})
FUNCTIONS = frozenset({"max", "min", "cos", "sin", "log", "exp", "mean", "argmax"})
ENDS = ".,;:"
LEAST = 7  # characters of an equation that stands by itself
TELLING = frozenset("←=∝Σ∇‖√²")


def spans(text: str) -> list[tuple[str, bool]]:
    """Divide text into parts, each with whether it is maths; together they are the text."""
    words = re.split(r"(\s+)", text)
    parts: list[tuple[str, bool]] = []
    place = 0
    while place < len(words):
        end = _end(words, place)
        if end == place:
            parts.append((words[place], False))
            place += 1
            continue
        parts += _trimmed("".join(words[place:end]))
        place = end
    return _merged(parts)


def equations(text: str) -> list[str]:
    """Return the equations of a text that are long enough to stand by themselves, each once, in order."""
    text = re.sub(r"``[^`]*``", " ", text)
    found = dict.fromkeys(part for part, is_maths in spans(text) if is_maths)
    return [one for one in found if len(one) >= LEAST and _is_whole(one)]


def _is_whole(found: str) -> bool:
    """Whether maths says something without the words around it."""
    tells = bool(TELLING & {*found}) or ("·" in found and "(" in found)
    cut = bool(re.search(r"[=←] ?[a-z]{3,}$", found)) or found[0] in "=←"
    closes_first = any(_depth(found[:end]) < 0 for end in range(len(found)))
    return tells and not cut and not closes_first and _depth(found) == 0


def _is_maths(word: str) -> bool:
    return bool(SIGNS & {*word}) or bool(re.search(r"\w=\w|\^", word))


def _end(words: list[str], start: int) -> int:
    """The place after the maths that begins with a word; that place itself if none does."""
    word = words[start]
    after = words[start + 2] if start + 2 < len(words) else ""
    atom = bool(re.fullmatch(r"[(\[]?[\w'%]{1,12}", word)) and (len(word) <= 3 or word[0] in "([")
    sign = word in OPERATORS - {"-"} and bool(after) and _is_maths(after)
    if not (_is_maths(word) and word not in OPERATORS) and not sign and not (atom and after in OPERATORS - {"-", "/"}):
        return start
    place = start + 1
    while place + 1 < len(words) and _goes_on(words, start, place):
        place += 2
    while place > start + 1 and words[place - 1] in OPERATORS:
        place -= 2
    return place


def _goes_on(words: list[str], start: int, place: int) -> bool:
    """Whether the maths from one place to another has the word after it, too."""
    following, last = words[place + 1], words[place - 1]
    is_open = _depth("".join(words[start:place])) > 0
    if not following or (last[-1] in ENDS and not is_open):
        return False
    if _is_maths(following) or following in OPERATORS - {"-"} or last in OPERATORS | FUNCTIONS:
        return True
    inner = following.strip("().,'")
    if following in FUNCTIONS or following.partition("(")[0] in FUNCTIONS:
        return True
    before_sign = place + 3 < len(words) and words[place + 3] in OPERATORS - {"-"}
    return is_open and (len(inner) <= 2 or not inner.isalpha() or before_sign)


def _depth(text: str) -> int:
    """How many brackets are open at a text's end."""
    return sum(text.count(opening) - text.count(closing) for opening, closing in ("()", "[]", "{}"))


def _trimmed(found: str) -> list[tuple[str, bool]]:
    """Maths without the sentence's own brackets and stops around it."""
    before = after = ""
    while found and (found[-1] in ENDS or (found[-1] in ")]" and _depth(found) < 0)):
        found, after = found[:-1], found[-1] + after
    while found and found[0] in "([" and _depth(found) > 0:
        found, before = found[1:], before + found[0]
    while found and found[-1] in ENDS:
        found, after = found[:-1], found[-1] + after
    return [(before, False), (found, bool(found)), (after, False)]


def _merged(parts: list[tuple[str, bool]]) -> list[tuple[str, bool]]:
    """Neighbours of one kind as one part; empty ones are left out."""
    merged: list[tuple[str, bool]] = []
    for text, is_maths in parts:
        if merged and not is_maths and not merged[-1][1]:
            merged[-1] = (merged[-1][0] + text, False)
        elif text:
            merged.append((text, is_maths))
    return merged
