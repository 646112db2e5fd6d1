"""The report and the pictures: whole, escaped, and (where Chromium is installed) working in a real browser."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
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
from clbench.analysis.ranking import ranking
from clbench.cli import app
from clbench.config import resolve
from clbench.errors import UserError
from clbench.render.plots import PICTURES, Scene, draw
from clbench.render.report import build
from tests.helpers import config, make_result

HOSTILE = "<script>document.title='owned'</script>\"'&$\\alpha_"
CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)


def write_runs(folder: Path, seeds: int = 3) -> None:
    for scenario in ("split-digits", "permuted-digits"):
        for number, name in enumerate(("naive", "ewc", HOSTILE)):
            for seed in range(seeds):
                end = 0.6 + 0.1 * number + 0.01 * seed
                result = make_result(name, seed, [[0.5, 0.5], [1.0, 0.5], [end, 0.99]], scenario=scenario)
                store.write(result, folder)
    store.write(make_result("si", 0, [[0.5, 0.5]], status="diverged"), folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("results")
    write_runs(path)
    return path


def scene(folder: Path) -> Scene:
    runs, _ = load([folder])
    boards = leaderboards(runs)
    return Scene(boards, ranking(boards), runs)


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    shown = scene(folder)
    return build(shown.boards, shown.ranking, shown.runs, ["<b>broken.json</b> is left out"], lambda doing: None)


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


def test_every_picture_has_a_text_alternative(page: str) -> None:
    pictures = [a for tag, a in Tags(page).found if tag == "svg"]
    assert len(pictures) == 2 * 5 + 1
    assert all(a["role"] == "img" and len(str(a["aria-label"])) > 40 for a in pictures)


def test_every_run_says_how_to_make_it_again() -> None:
    made = config({"name": "ewc+er", "ewc": {"lam": 1e-5}}, seed=3)
    result = make_result("ewc+er", 3).model_copy(update={"config": made.model_dump(mode="json")})
    import shlex

    words = shlex.split(command(result))
    layers: dict[str, Any] = {}
    flags = {"--strategy": "strategy", "--scenario": "scenario", "--model": "model"}
    from clbench.layers import merge, read_assignments

    given = dict(zip(words[2::2], words[3::2], strict=True))
    layers = {flags[flag]: value for flag, value in given.items() if flag in flags}
    assigned = read_assignments(
        [value for flag, value in zip(words[2::2], words[3::2], strict=True) if flag == "--set"]
    )
    assert resolve(merge(layers, assigned)) == [made]


# These need runs that measured something; they are tested where the measuring is.
MEASURED = ("cosines", "importance", "shares", "cka", "backwards", "map")


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


needs_browser = pytest.mark.skipif(
    CHROMIUM is None or importlib.util.find_spec("playwright") is None,
    reason="needs Chromium (Debian: apt-get install chromium) and playwright",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as driver:
        try:  # containers have little shared memory and no sandbox of their own
            switches = ["--no-sandbox", "--disable-dev-shm-usage"]
            opened = driver.chromium.launch(executable_path=CHROMIUM, args=switches)
        except Error as error:
            pytest.skip(f"{CHROMIUM} does not start here: {error}")
        yield opened
        opened.close()


@pytest.fixture
def tab(browser: Any, page: str, tmp_path: Path) -> Iterator[Any]:
    file = tmp_path / "report.html"
    file.write_text(page, encoding="utf-8")
    opened = browser.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    opened.on("request", lambda request: None if request.url.startswith("file:") else problems.append(request.url))
    opened.goto(file.as_uri())
    yield opened
    opened.close()
    assert problems == []


def names(tab: Any) -> list[str]:
    return tab.locator("#board1 ~ .scroll table tbody tr:visible td:nth-child(2)").all_inner_texts()  # type: ignore[no-any-return]


@needs_browser
def test_tables_sort_by_mouse_and_keyboard(tab: Any) -> None:
    before = names(tab)
    heading = tab.locator("#board1 ~ .scroll table th").nth(3).locator("button")
    heading.click()
    assert names(tab) == before[::-1]
    assert tab.locator("#board1 ~ .scroll table th").nth(3).get_attribute("aria-sort") == "ascending"
    heading.focus()
    tab.keyboard.press("Enter")
    assert names(tab) == before


@needs_browser
def test_filter_leaves_what_matches(tab: Any) -> None:
    tab.locator("#filter").focus()
    tab.keyboard.type("ewc")
    assert names(tab) == ["ewc"]
    tab.locator("#filter").fill("")
    assert len(names(tab)) == 3


@needs_browser
def test_hostile_names_do_nothing(tab: Any) -> None:
    assert tab.title() == "clbench report"
    assert HOSTILE in names(tab)


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone_and_dark_mode(tab: Any, scheme: str, tmp_path: Path) -> None:
    tab.emulate_media(color_scheme=scheme)
    tab.set_viewport_size({"width": 360, "height": 740})
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls down only"
    paper, ink = tab.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    light = {"light": paper, "dark": ink}[scheme]
    assert min(int(part) for part in light[4:-1].split(",")) > 200
    assert tab.locator("svg").first.evaluate("e => getComputedStyle(e.querySelector('text')).fill") == ink


@needs_browser
def test_print_unfolds_the_pictures(tab: Any, tmp_path: Path) -> None:
    folded = tab.locator("section details:not(.run):not([open])").count()
    assert folded > 0
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert tab.locator("section details:not(.run):not([open])").count() == 0
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    assert tab.locator("section details:not(.run):not([open])").count() == folded
    assert tab.pdf().startswith(b"%PDF")
