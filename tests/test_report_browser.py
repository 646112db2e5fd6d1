"""The report in a real browser (where Chromium is installed): by mouse, by keyboard, on a phone, on paper."""

from __future__ import annotations

import importlib.util
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.report_pages import HOSTILE, page_of, write_runs

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or importlib.util.find_spec("playwright") is None,
    reason="needs Chromium (Debian: apt-get install chromium) and playwright",
)
BOARD = "section[data-board=board1]"  # permuted-digits


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    write_runs(folder)
    made = folder / "report.html"
    made.write_text(page_of(folder), encoding="utf-8")
    return made


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
def tab(browser: Any, file: Path) -> Iterator[Any]:
    opened = browser.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    opened.on("request", lambda request: None if request.url.startswith("file:") else problems.append(request.url))
    opened.goto(file.as_uri())
    yield opened
    opened.close()
    assert problems == []


def names(tab: Any, table: str = ".forest") -> list[str]:
    return tab.locator(f"{BOARD} {table} tbody tr[data-row]:not([hidden]) .term").all_text_contents()  # type: ignore[no-any-return]


def unfold(tab: Any, title: str) -> None:
    tab.locator(f"{BOARD} > details > summary", has_text=title).click()


def test_one_order_for_the_table_and_the_pictures(tab: Any) -> None:
    assert names(tab) == [HOSTILE, "ewc", "naive"]
    unfold(tab, "The whole table")
    heading = tab.locator(f"{BOARD} .whole th[data-column=strategy] .sort")
    heading.focus()
    tab.keyboard.press("Enter")
    assert names(tab, ".whole") == names(tab) == [HOSTILE, "ewc", "naive"]
    tab.keyboard.press("Enter")
    assert names(tab, ".whole") == names(tab) == ["ewc", HOSTILE, "naive"], "controls stay a block of their own"
    assert tab.locator(f"{BOARD} .panels figcaption").all_text_contents() == ["naive", "ewc", HOSTILE]
    assert tab.locator(f"{BOARD} .whole th[aria-sort]").get_attribute("aria-sort") == "descending"


def test_order_of_all_boards_begins_with_the_best(tab: Any) -> None:
    tab.locator("#order").select_option("forgetting")
    assert names(tab)[0] == HOSTILE
    tab.locator("#order").select_option("strategy")
    assert names(tab) == [HOSTILE, "ewc", "naive"]


def test_filter_leaves_what_matches_in_tables_and_pictures(tab: Any) -> None:
    tab.locator("#filter").focus()
    tab.keyboard.type("ewc")
    assert names(tab) == names(tab, ".whole") == ["ewc"]
    assert tab.locator(f"{BOARD} .panels figure:not([hidden])").count() == 1
    marks = tab.locator(f"{BOARD} .scatter").first.locator(".point:not(.out)")
    assert marks.count() == 1
    assert marks.get_attribute("aria-label").startswith("ewc")
    tab.locator("#filter").fill("")
    assert len(names(tab)) == 3


def test_another_reference_moves_marks_and_says_another_answer(tab: Any) -> None:
    mark = tab.locator(f"{BOARD} .forest tr[data-row='1'] .mark")
    answer, before = tab.locator(f"{BOARD} .answer").inner_text(), mark.get_attribute("x")
    choice = tab.locator(f"{BOARD} [data-reference]")
    choice.select_option(label=HOSTILE)
    assert tab.locator(f"{BOARD} .answer").inner_text() != answer
    assert mark.get_attribute("x") != before
    states = tab.locator(f"{BOARD} .forest [data-state]").all_text_contents()
    assert states == ["reference", "worse", "worse"]
    assert tab.locator(f"{BOARD} .whole [data-state]").all_text_contents() == states
    assert tab.locator(f"{BOARD} [data-heading]").inner_text() == f"Δ {HOSTILE}"
    choice.select_option(label="naive")
    assert tab.locator(f"{BOARD} .answer").inner_text() == answer
    assert mark.get_attribute("x") == before


def test_words_explain_themselves_by_keyboard_and_mouse(tab: Any) -> None:
    about = tab.locator(".about:popover-open")
    tab.locator(f"{BOARD} .forest tbody .term").first.focus()
    tab.keyboard.press("ArrowDown")
    assert "Elastic weight consolidation" in about.inner_text()
    assert tab.evaluate("document.activeElement.textContent") == "ewc"
    tab.keyboard.press("Escape")
    assert about.count() == 0
    tab.locator(f"{BOARD} .forest tbody .term", has_text="naive").hover()
    assert "A control" in about.inner_text()
    about.hover()
    tab.wait_for_timeout(300)
    assert about.count() == 1, "a pointer may move onto what is said"
    tab.mouse.move(5, 5)
    about.wait_for(state="hidden")


def test_marks_say_their_numbers(tab: Any) -> None:
    unfold(tab, "plane")
    tab.locator(f"{BOARD} .scatter .point[tabindex='0']").first.focus()
    about = tab.locator("#pointed")
    assert re.search(r"rank 1: learning [\d.]+", about.inner_text())
    tab.keyboard.press("End")
    assert about.inner_text().startswith("naive, a control: ")
    box, mark = about.bounding_box(), tab.locator(".point:focus").bounding_box()
    assert abs(box["y"] - mark["y"]) < 200, "beside its mark"


def test_one_stop_for_each_table_and_picture(tab: Any) -> None:
    stops = tab.locator(f"{BOARD} .forest tbody .term").evaluate_all(
        "all => all.filter(one => one.tabIndex === 0).length"
    )
    assert stops == 1


def test_names_to_a_reader_that_listens(tab: Any) -> None:
    row = tab.locator(f"{BOARD} .forest").get_by_role("row", name="ewc")
    assert row.get_by_role("rowheader").count() == 1
    about = tab.locator(f"{BOARD} .forest tbody .term", has_text="ewc").get_attribute("aria-describedby")
    assert tab.locator(f"#{about}").get_attribute("role") == "tooltip"
    assert tab.get_by_label("Compare with").count() == 2
    assert tab.get_by_label("Show", exact=True).get_attribute("id") == "filter"


def test_hostile_names_do_nothing(tab: Any) -> None:
    assert tab.title() == "clbench report"
    assert HOSTILE in names(tab)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone_and_dark_mode(tab: Any, scheme: str) -> None:
    tab.emulate_media(color_scheme=scheme)
    tab.set_viewport_size({"width": 375, "height": 740})
    tab.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls down only"
    sizes = (
        "all => all.filter(one => one.getClientRects().length).map(one => parseFloat(getComputedStyle(one).fontSize))"
    )
    assert min(tab.locator("svg text, td, th, p, figcaption").evaluate_all(sizes)) >= 11
    paper, ink = tab.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    light = {"light": paper, "dark": ink}[scheme]
    assert min(int(part) for part in light[4:-1].split(",")) > 200
    assert tab.locator(".scatter .name").first.evaluate("e => getComputedStyle(e).fill") == ink


def test_header_stays_in_view(tab: Any) -> None:
    tab.set_viewport_size({"width": 375, "height": 500})
    tab.evaluate("scrollTo(0, document.body.scrollHeight)")
    assert tab.locator("#filter").bounding_box()["y"] < 100
    tab.locator("nav a").first.click()
    below = tab.locator("header").bounding_box()
    assert tab.locator("#board1").bounding_box()["y"] >= below["y"] + below["height"]


def test_paper_has_what_is_not_folded(tab: Any) -> None:
    printed = tab.pdf(format="A4")
    assert printed.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b[^s]", printed)) <= 3


def test_without_script_the_answer_tables_and_pictures_are_there(browser: Any, file: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(file.as_uri())
    assert tab.locator(f"{BOARD} .answer").is_visible()
    assert tab.locator(f"{BOARD} .forest .strip .mark").first.is_visible()
    unfold(tab, "The whole table")
    assert tab.locator(f"{BOARD} .whole").is_visible()
    tab.locator(f"{BOARD} .forest tbody .term", has_text="ewc").click()
    assert "Elastic weight consolidation" in tab.locator(".about:visible").inner_text()
    context.close()
