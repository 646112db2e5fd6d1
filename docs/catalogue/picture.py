"""A strategy's place among all rows of the committed boards, as SVG that needs no script and no font of its own."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from clbench.analysis.boards import Entry, Leaderboard
from clbench.render import leaderboards as render
from docs.catalogue.boards import Place, score

WIDTH, ROW, LEFT, RIGHT = 560, 124, 24, 24
STYLE = (
    ".card{fill:#fff;stroke:#d0d4da}text{font:13px sans-serif;fill:#2b2f36}.small{font-size:11px;fill:#5c6370}"
    ".other{stroke:#8b95a5}.axis{stroke:#c3c8d0}.mine{stroke:#b3261e;fill:#b3261e}.told{fill:#b3261e;font-weight:bold}"
    ".mark{stroke:#1f5fa8}.marked{font-size:11px;fill:#1f5fa8}"
    "@media(prefers-color-scheme:dark){.card{fill:#1d2026;stroke:#3a3f48}text{fill:#e4e6ea}.small{fill:#a3aab6}"
    ".other{stroke:#7d8696}.axis{stroke:#4a505b}.mine{stroke:#ff8a80;fill:#ff8a80}.told{fill:#ff8a80}"
    ".mark{stroke:#8ab8f0}.marked{fill:#8ab8f0}}"
)


def drawn(name: str, places: Sequence[Place]) -> str:
    """Return the picture: a strip for each board, a stroke for each row's mean, this one's with its interval."""
    height = ROW * len(places) + 8
    told = "; ".join(f"{place.board.title}: {score(place)} %" for place in places)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(f"{name} among all methods. {told}")}">',
        f"<title>{escape(f'{name} among all methods. {told}')}</title><style>{STYLE}</style>",
        f'<rect class="card" x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1}" rx="6"/>',
    ]
    for number, place in enumerate(places):
        parts.append(f'<g transform="translate(0 {ROW * number})">{_strip(name, place)}</g>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _strip(name: str, place: Place) -> str:
    """One board: title, axis, strokes, and this strategy's row."""
    board, mine = place.board, place.entry
    column = board.metrics[0]
    means = {entry.label: estimate.mean for entry in board.entries if (estimate := entry.estimates[column])}
    low, high = _range([*means.values()])

    def x(value: float) -> float:
        shown = min(max(value, low), high)
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (shown - low) / (high - low), 1)

    title = f"{board.title}: {render.heading(column)}, %"
    parts = [
        f'<text x="{LEFT}" y="24">{escape(title)}</text>',
        f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="80" y2="80"/>',
    ]
    for tick in _ticks(low, high):
        parts.append(f'<text class="small" x="{x(tick)}" y="97" text-anchor="middle">{100 * tick:g}</text>')
        parts.append(f'<line class="axis" x1="{x(tick)}" x2="{x(tick)}" y1="80" y2="84"/>')
    for label, mean in means.items():
        if label != mine.label:
            parts.append(f'<line class="other" x1="{x(mean)}" x2="{x(mean)}" y1="62" y2="80"/>')
    parts += _marks(board, mine, means, x)
    estimate = mine.estimates[column]
    if estimate is None:
        return "".join([*parts, _told(WIDTH / 2, f"{name}: {mine.state}")])
    at = x(estimate.mean)
    if estimate.low is not None and estimate.high is not None:
        parts.append(f'<line class="mine" x1="{x(estimate.low)}" x2="{x(estimate.high)}" y1="56" y2="56"/>')
    parts.append(f'<line class="mine" x1="{at}" x2="{at}" y1="56" y2="80"/>')
    parts.append(f'<circle class="mine" cx="{at}" cy="56" r="4"/>')
    return "".join([*parts, _told(at, f"{name} {score(place)}")])


def _told(at: float, text: str) -> str:
    """This strategy's label, kept on the card."""
    half = 3.9 * len(text)
    middle = min(max(at, LEFT + half), WIDTH - RIGHT - half)
    return f'<text class="told" x="{middle:.1f}" y="47" text-anchor="middle">{escape(text)}</text>'


def _marks(board: Leaderboard, mine: Entry, means, x) -> list[str]:  # type: ignore[no-untyped-def]
    """Fine-tuning and the bound, below the axis' numbers."""
    marked = [(board.reference, f"{board.reference} (fine-tuning)"), (board.bound, f"{board.bound} (bound)")]
    shown = sorted((one for one in marked if one[0] in means), key=lambda one: float(means[one[0]]))
    found, right = [], float(WIDTH - RIGHT)
    for label, text in reversed(shown):  # from the right, each left of the one before
        at, half = x(means[label]), 3.1 * len(text)
        middle = min(max(at, LEFT + half), right - half)
        right = middle - half - 8
        found.append(f'<line class="mark" x1="{at}" x2="{at}" y1="58" y2="84" stroke-width="2"/>')
        found.append(f'<text class="marked" x="{middle:.1f}" y="112" text-anchor="middle">{escape(text)}</text>')
    return found


def _range(values: Sequence[float]) -> tuple[float, float]:
    """From which to which value the axis goes: tens of per cent around all of them."""
    low, high = min(values), max(values)
    low = int(10 * low) / 10
    return low, max(1.0 if high > 0.9 else -(-high * 10 // 1) / 10, low + 0.1)


def _ticks(low: float, high: float) -> list[float]:
    return [round(low + step / 10, 1) for step in range(round(10 * (high - low)) + 1)]
