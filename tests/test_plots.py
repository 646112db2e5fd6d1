"""Pictures for papers can be read: with all methods of the baseline, at the width of a column and of a page."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.text import Text
from typer.testing import CliRunner

from clbench import store
from clbench.analysis.compare import leaderboards
from clbench.analysis.load import load
from clbench.analysis.ranking import ranking
from clbench.cli import app
from clbench.errors import UserError
from clbench.render.plots import Scene, figure
from clbench.render.plots.style import WIDTHS, styled
from clbench.render.plots.svg import lighter
from tests.helpers import make_result

BASELINE = Path(__file__).resolve().parents[1] / "results" / "baseline"
OF_PAPERS = ("leaderboard", "difference", "plane", "pareto", "curves", "matrix", "ranks")


@pytest.fixture(scope="module")
def baseline() -> Scene:
    runs, _ = load([BASELINE])
    boards = leaderboards(runs)
    return Scene(boards, ranking(boards), runs)


def drawn(picture: str, scene: Scene, width: str) -> Any:
    board = None if picture == "ranks" else scene.boards[0]
    with styled():
        made = figure(picture, board, Scene(scene.boards, scene.ranking, scene.runs, width=width))
        made.draw_without_rendering()
    return made


def texts_of(made: Any) -> list[Any]:
    """All texts that are seen; matplotlib keeps labels of ticks beyond the ends, too."""
    ticks = {
        label
        for axes in made.axes
        for axis, (low, high) in ((axes.xaxis, sorted(axes.get_xlim())), (axes.yaxis, sorted(axes.get_ylim())))
        for tick, label in zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=True)
        if not (axes.axison and low <= tick <= high)
    }
    return [one for one in made.findobj(Text) if one.get_visible() and one.get_text().strip() and one not in ticks]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("picture", OF_PAPERS)
def test_texts_are_large_enough_and_apart(picture: str, width: str, baseline: Scene) -> None:
    made = drawn(picture, baseline, width)
    assert made.get_figwidth() == WIDTHS[width]
    texts = texts_of(made)
    assert min(one.get_fontsize() for one in texts) >= 6
    boxes = [(one.get_text(), Text.get_window_extent(one)) for one in texts]  # without the line to its mark
    # A box has room for letters that are not there.
    inked = np.array([box.shrunk(0.98, 0.7).extents for _, box in boxes])
    low, high = inked[:, :2], inked[:, 2:]
    overlap = ((low[:, None] <= high) & (low <= high[:, None])).all(2)
    met = [(boxes[a][0], boxes[b][0]) for a, b in np.argwhere(np.triu(overlap, 1))]
    assert met == []
    paper = made.bbox
    outside = [text for text, box in boxes if box.x0 < paper.x0 - 1 or box.x1 > paper.x1 + 1 or box.y0 < paper.y0 - 1]
    assert outside == []


@pytest.mark.parametrize("picture", ["leaderboard", "difference", "plane", "pareto"])
def test_every_kind_of_mark_is_explained(picture: str, baseline: Scene) -> None:
    made = drawn(picture, baseline, "full")

    def kind(line: Any) -> tuple[str, bool]:
        return line.get_marker(), line.get_markerfacecolor() != "white"

    shown = {kind(line) for line in made.axes[0].lines if line.get_marker() not in ("None", "<", ">")}
    explained = {kind(handle) for handle in made.legends[0].legend_handles if hasattr(handle, "get_marker")}
    assert shown <= explained
    assert {"o", "s", "D"} == {shape for shape, _ in shown}, "methods, bounds and controls differ in shape"


def test_numbers_stand_for_rows(baseline: Scene) -> None:
    """Each mark of the plane has a number, and each number a row in the legend."""
    made = drawn("plane", baseline, "column")
    numbers = {text.get_text() for text in made.axes[0].texts}
    told = {text.get_text().split("  ")[0] for text in made.legends[0].get_texts() if "  " in text.get_text()}
    assert numbers == told
    assert len(numbers) == 64
    assert "Not shown: joint" in made.axes[0].get_title(loc="left").replace("\n", " ")


def test_what_is_dropped_is_said_and_bounds_stay(baseline: Scene) -> None:
    made = drawn("matrix", baseline, "full")
    assert "the last 41 of 57 methods" in made.get_suptitle()
    assert {"joint", "naive"} <= {axes.get_title(loc="left") for axes in made.axes}


def test_difference_needs_a_reference(tmp_path: Path) -> None:
    for seed in range(3):
        store.write(make_result("ewc", seed), tmp_path)
    runs, _ = load([tmp_path])
    with pytest.raises(UserError, match="--against"):
        drawn("difference", Scene(leaderboards(runs), None, runs), "full")


def test_command_line_draws_at_the_width_of_a_column(tmp_path: Path) -> None:
    words = ["compare", str(BASELINE), "--scenario", "split-*", "--picture", "difference", "--width", "column"]
    done = CliRunner().invoke(app, [*words, "--plot", str(tmp_path / "d.svg")])
    assert done.exit_code == 0, done.output
    assert f'width="{72 * WIDTHS["column"]:.1f}pt"' in (tmp_path / "d.svg").read_text(encoding="utf-8")


def test_an_svg_is_light_and_shows_the_same(baseline: Scene) -> None:
    made = drawn("difference", baseline, "full")
    buffer = io.BytesIO()
    with styled():
        made.savefig(buffer, format="svg")
    whole = buffer.getvalue().decode()
    light = lighter(whole)
    assert len(light) < 0.6 * len(whole)
    elements, before = (list(ElementTree.fromstring(text).iter()) for text in (light, whole))
    assert [one.tag for one in elements] == [one.tag for one in before]
    rules = dict(re.findall(r"^\.(\w+)\{(.*?)\}", light, re.MULTILINE))
    for one, other in zip(elements, before, strict=True):
        if not one.tag.endswith("style"):
            assert (one.text or "").strip() == (other.text or "").strip()
        assert rules.get(one.get("class", ""), one.get("style")) == other.get("style")
        for key in ("d", "x", "y"):
            numbers, exact = (re.findall(r"-?\d+(?:\.\d+)?", each.get(key, "")) for each in (one, other))
            assert [float(number) for number in numbers] == pytest.approx([float(n) for n in exact], abs=0.00501)


def test_what_is_hidden_is_left_out_of_an_svg_alone() -> None:
    text = (
        '<svg><style>*{a}</style><!-- 5 -->\n  <text x="1.0049" style="f: 1">1.23456 M 2</text><g style="f: 1"/></svg>'
    )
    light = lighter(text)
    assert '<text x="1" class="' in light
    assert ">1.23456 M 2</text>" in light
    assert light.count("f: 1") == 1
    assert "<!--" not in light
