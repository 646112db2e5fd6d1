"""The report as text and the pictures: whole, escaped, the answer first."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from clbench import store
from clbench.analysis.compare import leaderboards
from clbench.analysis.load import load
from clbench.analysis.matrices import matrices
from clbench.analysis.provenance import command
from clbench.cli import app
from clbench.config import resolve
from clbench.errors import UserError
from clbench.render.plots import PICTURES, Scene, draw
from clbench.render.report import build
from tests.helpers import config, make_result
from tests.report_pages import HOSTILE, page_of, scene, write_runs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("results")
    write_runs(path)
    return path


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return page_of(folder)


class Tags(HTMLParser):
    """Tags and their attributes; a tag that closes none is a mistake."""

    VOID = ("meta", "input", "link", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_is_whole_and_asks_nothing_of_the_network(page: str) -> None:
    tags = Tags(page)
    assert not [a for _, a in tags.found if "src" in a]
    links = [str(value) for _, a in tags.found for key, value in a.items() if key in ("href", "xlink:href")]
    assert all(link.startswith(("#", "data:image/png")) for link in links)
    ids = [str(a["id"]) for _, a in tags.found if "id" in a]
    assert len(ids) == len(set(ids)), "every id is there once"
    assert {link[1:] for link in links if link[0] == "#"} <= set(ids)


def test_names_are_text_everywhere(page: str) -> None:
    assert page.count("<script>") == 1
    assert "<b>broken" not in page
    assert "&lt;script&gt;document.title" in page
    assert "\\u003cscript>document.title" in page, "inside JSON too"
    assert page.count("</script>") == page.count("<script"), "no name ends a script"


def test_the_answer_comes_first(page: str) -> None:
    places = [page.index(text) for text in ("5 tasks" if "5 tasks" in page else "2 tasks", "3 seeds. ")]
    places += [page.index(text) for text in ('class="forest"', 'class="groups"', "<details>")]
    assert places == sorted(places)


def test_every_picture_has_a_text_alternative(page: str) -> None:
    """One in words, or none for those who hear it: then its numbers stand beside it, or it is part of a picture."""
    tags = [(tag, a) for tag, a in Tags(page).found if tag == "svg" and ("class" in a or "role" in a)]
    told = [a for _, a in tags if "aria-label" in a]
    assert all(a["role"] in ("img", "group") and len(str(a["aria-label"])) > 20 for a in told)
    silent = {str(a.get("class")) for _, a in tags if "aria-label" not in a}
    assert silent <= {"strip", "axis", "mark", "cut"}
    assert len([a for a in told if a["role"] == "group"]) == 2 * 2, "two planes on each board"


def test_references_are_computed_beforehand(page: str) -> None:
    first, second = re.findall(r"data-choices>(.*?)</script>", page)
    content = json.loads(first)
    assert content["labels"][0] == HOSTILE
    texts = [[row[4] for row in choice["rows"]] for choice in content["choices"]]
    assert len(texts) == 2, "fine-tuning, and the one that may be the best"
    assert re.fullmatch(r"\+1\d\.\d ± \d\.\d", texts[0][0])
    assert texts[0][0].replace("+", "−") in texts[1]
    assert [choice["heading"] for choice in json.loads(second)["choices"]] == ["Δ naive", f"Δ {HOSTILE}"]


def test_boards_that_say_little(tmp_path: Path) -> None:
    """A single row; rows that all learnt nothing; no reference: there is an answer, and nothing breaks."""
    alone, lost = tmp_path / "alone", tmp_path / "lost"
    store.write(make_result("ewc", 0), alone)
    for name, last in (("naive", 0.5), ("ewc", 0.4)):
        for seed in range(3):
            R = [[0.5, 0.5], [0.5, 0.5], [last, 0.5]]
            store.write(make_result(name, seed, R, warnings=["collapsed: x"]), lost)
    for folder, words in ((alone, "One seed."), (lost, "Every row diverged, collapsed or is unstable")):
        runs, _ = load([folder])
        text = build(leaderboards(runs), None, runs, [], lambda doing: None)
        assert words in text
        Tags(text)


def test_sections_with_long_titles_are_a_menu(page: str, tmp_path: Path) -> None:
    for letter in "ab":
        store.write(make_result("ewc", 0, scenario=f"split-{40 * letter}"), tmp_path)
    tags = Tags(page_of(tmp_path)).found
    (navigation,) = [a for tag, a in tags if tag == "nav"]
    assert "popover" in navigation
    assert [a for tag, a in tags if tag == "button" and a.get("popovertarget") == navigation["id"]]
    assert "popover" not in next(a for tag, a in Tags(page).found if tag == "nav")


def test_every_run_says_how_to_make_it_again() -> None:
    made = config({"name": "ewc+er", "ewc": {"lam": 1e-5}}, seed=3)
    result = make_result("ewc+er", 3).model_copy(update={"config": made.model_dump(mode="json")})
    import shlex

    words = shlex.split(command(result))
    layers: dict[str, Any] = {}
    flags = {"--strategy": "strategy", "--scenario": "scenario", "--model": "model"}
    from clbench.config.layers import merge, read_assignments

    given = dict(zip(words[2::2], words[3::2], strict=True))
    layers = {flags[flag]: value for flag, value in given.items() if flag in flags}
    assigned = read_assignments(
        [value for flag, value in zip(words[2::2], words[3::2], strict=True) if flag == "--set"]
    )
    assert resolve(merge(layers, assigned)) == [made]


# These need runs that measured something; they are tested where the measuring is.
MEASURED = ("cosines", "importance", "shares", "cka", "backwards", "map", "ages")


@pytest.mark.parametrize("form", ["pdf", "svg", "png"])
@pytest.mark.parametrize("picture", [name for name in PICTURES if name not in MEASURED])
def test_pictures_of_every_kind(picture: str, form: str, folder: Path, tmp_path: Path) -> None:
    files = draw(tmp_path / "new" / f"x.{form}", picture, scene(folder))
    assert len(files) == (1 if picture == "ranks" else 2)
    start = {"pdf": b"%PDF", "png": b"\x89PNG", "svg": b"<?xml"}[form]
    for file in files:
        assert file.read_bytes().startswith(start)
        if form == "svg":
            text = "".join(ElementTree.parse(file).getroot().itertext())
            assert "ewc" in text


def test_picture_problems(folder: Path, tmp_path: Path) -> None:
    shown = scene(folder)
    with pytest.raises(UserError, match=r"\.pdf, \.svg, \.png"):
        draw(tmp_path / "x.bmp", "plane", shown)
    with pytest.raises(UserError, match="two or more leaderboards"):
        draw(tmp_path / "x.svg", "ranks", Scene(shown.boards[:1], None, shown.runs))
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        draw(tmp_path / "file" / "x.svg", "plane", shown)


def test_boards_of_different_data_do_not_mix_their_matrices(tmp_path: Path) -> None:
    for value, mark in ((0.25, "a"), (0.75, "b")):
        rows = [[0.5, 0.5], [1.0, 0.5], [value, value]]
        store.write(make_result("ewc", 0, rows, fingerprint=mark * 64), tmp_path / mark)
    runs, _ = load([tmp_path / "a", tmp_path / "b"])
    cells = [matrices(board, runs)[0].accuracy[2][0] for board in leaderboards(runs)]
    found = [cell.mean for cell in cells if cell is not None]
    assert sorted(found) == [0.25, 0.75]


def test_command_line_writes_one_file(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "deep" / "r.html"
    done = CliRunner().invoke(app, ["report", str(folder), "-o", str(output), "--scenario", "split-*"])
    assert done.exit_code == 0, done.output
    assert output.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [path.name for path in output.parent.iterdir()] == ["r.html"]
