"""The documentation as a site: built strictly and without network, and read in Chromium from disk."""

from __future__ import annotations

import importlib.util
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("material", reason="needs the extra 'docs'")

from docs import hooks
from docs.build import main
from docs.gather import bring

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None or importlib.util.find_spec("playwright") is None,
    reason="needs Chromium (Debian: apt-get install chromium) and playwright",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site; a warning of the strict build ends it."""
    return main(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as driver:
        try:  # containers have little shared memory and no sandbox of their own
            chromium = driver.chromium.launch(
                executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
            )
        except Error as error:
            pytest.skip(f"{CHROMIUM} does not start here: {error}")
        yield chromium
        chromium.close()


def opened(browser: Any, **options: Any) -> Any:
    """A page that waits for a machine that is busy with other tests."""
    page = browser.new_page(**options)
    page.set_default_timeout(120_000)
    return page


def test_every_page_is_there_and_asks_for_nothing_elsewhere(site: Path) -> None:
    pages = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    assert {"index.html", "findings/index.html", "how-to/gate.html", "changelog.html"} <= pages
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r'<(?:script|link|img|iframe)[^>]+(?:src|href)="https?://[^"]+"', text), page


def test_formulas_become_mathml() -> None:
    marked = r'<p><span class="arithmatex">\(\frac{\lambda}{2} &lt; 1\)</span></p>'
    made = hooks.on_page_content(marked)
    assert "<mfrac>" in made
    assert "arithmatex" not in made
    assert 'display="block"' in hooks.on_page_content('<div class="arithmatex">\\[\nx^2\n\\]</div>')


def test_a_link_to_nothing_is_named(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("see [this](../../../results/nowhere.md)\n")
    with pytest.raises(FileNotFoundError, match=r"results/nowhere\.md, which is not there"):
        bring(page, Path(hooks.__file__).parent / "pages" / "start" / "page.md", tmp_path)


def test_links_in_programs_are_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nfound[0](nowhere)\n```\n")
    bring(page, Path(hooks.__file__).parent / "pages" / "start" / "page.md", tmp_path)
    assert "[0](nowhere)" in page.read_text()


@needs_chromium
def test_it_can_be_searched_from_disk(site: Path, browser: Any) -> None:
    page = opened(browser)
    page.goto((site / "index.html").as_uri())
    page.keyboard.press("f")  # Material's key for the search
    page.keyboard.type("stability")
    page.locator(".md-search-result__item").first.wait_for()
    found = page.locator(".md-search-result__link").evaluate_all("links => links.map(link => link.href)")
    assert any("explained/metrics.html" in link for link in found), found
    page.close()


@needs_chromium
def test_it_fits_a_phone_and_has_a_dark_side(site: Path, browser: Any) -> None:
    page = opened(browser, viewport={"width": 390, "height": 800}, color_scheme="dark")
    failed: list[str] = []

    def note(request: Any) -> None:
        if request.failure != "net::ERR_ABORTED":  # what the next page cuts off has not failed
            failed.append(f"{request.url} {request.failure}")

    page.on("requestfailed", note)
    page.on("pageerror", lambda error: failed.append(str(error)))
    for name in ("index", "start/leaderboard", "explained/scenarios", "findings/index"):
        page.goto((site / f"{name}.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
        assert page.evaluate("document.body.dataset.mdColorScheme") == "slate"
    assert not failed
    page.close()


@needs_chromium
def test_it_is_read_with_the_keyboard_alone(site: Path, browser: Any) -> None:
    page = opened(browser, viewport={"width": 1280, "height": 800})
    page.goto((site / "start" / "leaderboard.html").as_uri())
    focused = "document.activeElement"
    page.keyboard.press("Tab")
    assert "md-skip" in page.evaluate(f"{focused}.className")  # the way past header and navigation comes first
    page.keyboard.press("Enter")
    page.wait_for_function("location.hash.length > 1")
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        outline = f"[{focused}.href ?? '', getComputedStyle({focused}).outlineStyle]"
        reached.append(page.evaluate(outline))
        if "metrics.html" in reached[-1][0]:
            break
    assert "metrics.html" in reached[-1][0], reached
    assert all(style != "none" for href, style in reached if href), reached  # one sees where one is
    page.keyboard.press("Enter")
    page.wait_for_url("**/explained/metrics.html*")
    page.keyboard.press("f")
    page.keyboard.type("stability")
    page.locator(".md-search-result__item").first.wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_function("!location.href.endsWith('explained/metrics.html')")
    page.close()
