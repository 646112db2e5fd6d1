"""The documentation's generated pages: nothing is missing, nothing is broken, and numbers are the boards'."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest

from clbench import metrics, registry
from clbench.analysis.relative import RELATIVE
from clbench.cli import app
from clbench.config import RunConfig, resolve
from clbench.config.names import scenario_parts
from clbench.config.standard import standards
from clbench.data.known import SOURCES, scenario_names
from clbench.errors import UserError
from clbench.registry.catalogue import Listed
from clbench.registry.words import words
from clbench.render.formats import as_text
from docs.catalogue import boards, evidence, generate
from docs.catalogue.contract import contracts, refused_with
from docs.catalogue.maths import equations, spans
from docs.catalogue.sources import sources
from docs.catalogue.text import anchor, code, escaped, prose, slug, slugs, table, values

LINK = re.compile(r"(?<!\\)\[(?:[^\[\]]|\\\[|\\\])*\]\((?P<target>[^()\s]*)\)")
HOME = boards.ROOT / "docs" / "pages"
STRATEGIES = sorted(registry.strategy.listed)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    generate(folder)
    return folder


def page_of(site: Path, kind: str, name: str) -> str:
    return (site / "catalogue" / kind / f"{slug(name)}.md").read_text(encoding="utf-8")


def shown(text: str) -> str:
    """Markdown as a reader sees it: without escapes, code marks and links' targets."""
    text = re.sub(r"</?code>|`", "", LINK.sub(lambda found: found[0].rpartition("](")[0][1:], text))
    return unescape(re.sub(r"\\([\\`*_{}\[\]#+.)-])", r"\1", text))


def plain(text: str) -> str:
    """A docstring without the marks that become code."""
    return re.sub(r"(?<![\w)'])'([\w.+=*-]+)'(?![\w'])", r"\1", text.replace("``", ""))


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_has_its_page_with_source_options_and_cost(site: Path, name: str) -> None:
    unit = registry.strategy.listed[name]
    text, said = page_of(site, "strategies", name), words(unit, registry.strategy.listed)
    assert plain(unit.summary) in shown(text)
    for number in re.findall(r"arXiv:(\d+\.\d+)", said.prose):
        assert f"(https://arxiv.org/abs/{number})" in text
    for equation in equations(said.prose):
        assert equation in text
    assert_options(text, unit)
    for option, told in said.options.items():
        row = next(line for line in text.splitlines() if line.startswith(f"| `{option}` |"))
        assert plain(" ".join(told.split())) in shown(row)
    assert "## Cost\n\nBeside fine-tuning: " in text
    assert "## When to use it, and when not\n\n**" in text


def assert_options(text: str, unit: Listed) -> None:
    for option in unit.options:
        row = next(line for line in text.splitlines() if line.startswith(f"| `{option.name}` |"))
        assert code(option.default) in row
        assert plain(option.type.replace(" | ", ", ")) in shown(row)


def test_every_other_unit_is_there(site: Path) -> None:
    for name, unit in registry.model.listed.items():
        assert_options(page_of(site, "networks", name), unit)
    pairs = [f"{family}-{source}" for family, source in scenario_names(registry.scenario.listed)]
    index = (site / "catalogue" / "index.md").read_text(encoding="utf-8")
    for name, unit in registry.scenario.listed.items():
        text = page_of(site, "scenarios", name)
        assert all(f"| `{option.name}` |" in text for option in unit.options)
        assert f"](scenarios/{slug(name)}.md)" in index
    for name in [*pairs, *standards()]:
        family, _ = scenario_parts(name)
        assert f"\n### {name}\n" in page_of(site, "scenarios", family)
    for file, names in (("metrics", [*metrics.METRICS, *RELATIVE]), ("datasets", list(SOURCES))):
        headings = shown((site / "catalogue" / f"{file}.md").read_text(encoding="utf-8")).splitlines()
        assert {f"## {name}" for name in names} <= {*headings}


def test_links_between_pages_lead_somewhere(site: Path) -> None:
    anchors = {file.resolve(): anchors_of(file) for file in site.rglob("*.md")}
    count = 0
    for file in site.rglob("*.md"):
        for found in LINK.finditer(re.sub(r"^```.*?^```$", "", file.read_text(encoding="utf-8"), flags=re.M | re.S)):
            target, _, place = found["target"].partition("#")
            if target.startswith("https://"):
                assert target.startswith(("https://arxiv.org/abs/", "https://doi.org/10."))
                continue
            there = (file.parent / target).resolve() if target else file.resolve()
            if not there.is_file():  # to what the site brings along, from where the page will lie
                there = (HOME / file.relative_to(site).parent / target).resolve()
                assert there.is_file(), f"{file.relative_to(site)}: {found[0]}"
                assert {HOME / "findings", boards.ROOT / "results"} & {*there.parents}
                continue
            assert site.resolve() in there.parents
            assert not place or place in anchors[there], f"{file.relative_to(site)}: {found[0]}"
            count += 1
    assert count > 1000


def anchors_of(file: Path) -> set[str]:
    found = [
        anchor(shown(line.lstrip("# "))) for line in file.read_text(encoding="utf-8").splitlines() if line[:1] == "#"
    ]
    return set(found)


def test_file_names_are_plain(site: Path) -> None:
    for file in site.rglob("*"):
        assert re.fullmatch(r"[a-z0-9-]+(\.md|\.svg)?", file.name)


def test_numbers_are_the_boards(site: Path) -> None:
    told = json.loads(as_text(boards.boards(), None, "json"))["leaderboards"]
    assert told
    for board in told:
        for entry in board["entries"]:
            text = page_of(site, "strategies", entry["strategy"])
            row = next(line for line in text.splitlines() if line.startswith(f"| [{board['scenario']}]("))
            accuracy, against = entry["estimates"][board["metrics"][0]], entry["against"]
            half = (accuracy["high"] - accuracy["low"]) / 2
            assert f"| {100 * accuracy['mean']:.1f} ± {100 * half:.1f} |" in row
            if entry["rank"]:
                assert f"| {entry['rank']} of " in row
            else:
                assert "| not ranked (" in row
            if against and not entry["warnings"]:
                assert f"{abs(100 * against['difference']):.1f} ± " in row
                assert f"| {against['stand']} |" in row
            assert f"| {'yes' if entry['may_be_best'] else '–' if entry['may_be_best'] is None else 'no'} |" in row


def test_the_committed_leaderboard_has_the_same_numbers(site: Path) -> None:
    committed = (boards.BASELINE / "leaderboard.md").read_text(encoding="utf-8")
    for place in boards.places("der++"):
        assert f"{boards.score(place)} | {boards.difference(place)} |" in committed
        assert f"{boards.score(place)} | {boards.difference(place)} |" in page_of(site, "strategies", "der++")


def test_pictures_are_well_formed_and_named(site: Path) -> None:
    for name in STRATEGIES:
        file = site / "catalogue" / "strategies" / f"{slug(name)}.svg"
        assert file.is_file() == bool(boards.places(name))
        if file.is_file():
            root = ElementTree.parse(file).getroot()
            assert name in str(root.attrib["aria-label"])
            assert f"({file.name})" in page_of(site, "strategies", name)


@pytest.mark.parametrize(
    "other", ["er", "ewc-fixed", "hat", "icarl", "joint", "majority", "a-gem", "negative-gradient"]
)
def test_what_composes_is_what_a_run_accepts(other: str) -> None:
    from clbench.engine.plugins import plugins_of, stages_of

    refused = {name for names in refused_with(other, contracts()).values() for name in names}
    stream: Any = SimpleNamespace(tasks=[0, 1, 2], stages=[[0], [1], [2]])
    for name in STRATEGIES:
        if name == other:
            continue
        config: RunConfig = resolve({"strategy": {"name": f"{name}+{other}"}})[0]
        try:
            stages_of(plugins_of(config), stream)
        except UserError:
            assert name in refused, f"{name}+{other} is refused"
        else:
            assert name not in refused, f"{name}+{other} runs"


def test_what_was_published_is_judged(site: Path) -> None:
    text = page_of(site, "strategies", "jumpstart")
    assert "clbench reproduce jumpstart-thin-deep" in text
    assert "holds" in text.partition("### Published numbers and claims")[2]
    assert "### Published numbers" not in page_of(site, "strategies", "slda")


def test_evidence_is_what_the_studies_say(site: Path) -> None:
    """Differences are those of the tables that lie beside the Results; every study is told of what took part."""
    results = boards.ROOT / "results"
    committed = {path.parent for path in results.glob("studies/*/tables.md")}
    committed |= {path.parent for path in results.glob("reproduction/*/leaderboard.md")}
    assert {study.folder for study in evidence.studies()} == committed
    fire = page_of(site, "strategies", "fire").partition("\n## Evidence\n")[2]
    for name, streams in (("with-memory", ["er+fire", "wa+fire"]), ("drift", ["fire"])):
        text = (results / "studies" / name / "tables.md").read_text(encoding="utf-8")
        assert f"/results/studies/{name}/README.md)** ([findings](../../findings/" in fire
        for label in streams:
            rows = re.findall(rf"\| \**{re.escape(label)}\** \| \d \| (\S+ ± \S+) \| (\S+ ± \S+) \| (\w+) \|", text)
            assert rows
            for mean, difference, stand in rows:
                told = [line for line in fire.splitlines() if f"| {label} |" in line and f"| {difference} to " in line]
                assert len(told) == 1
                assert f" {mean} |" in told[0]
                assert told[0].endswith(f"| {stand} |")
    assert "to er |" in fire
    answer = next(study.answer for study in evidence.studies() if study.folder.name == "warm-start")
    assert answer.startswith("5 seeds. ")
    assert answer in (results / "reproduction" / "warm-start" / "leaderboard.md").read_text(encoding="utf-8")
    assert "## Evidence" not in page_of(site, "strategies", "x-der"), "nobody has studied it"


def test_what_a_composition_is_compared_with() -> None:
    rows = [row for study in evidence.studies() for row in study.rows]
    assert {row.board.reference for row in rows if row.entry.strategy.endswith("+fire")} == {
        "er",
        "er-ace",
        "icarl",
        "wa",
    }
    assert {row.board.reference for row in rows if row.entry.strategy == "racecar+ewc"} == {"ewc"}
    assert all("er" not in row.strategies for row in rows if row.entry.strategy == "er+fire"), "it is fire's evidence"


def test_words_alone_need_no_torch() -> None:
    code = (
        "import sys, docs.catalogue.strategies, docs.catalogue.kinds, docs.catalogue.reference\n"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, cwd=boards.ROOT)


def test_checks_are_told_on_both_sides(site: Path) -> None:
    assert "podnet" in page_of(site, "networks", "mlp")
    assert "holds the maps of convolutions" in page_of(site, "strategies", "podnet")
    assert "It refuses streams: task-incremental, domain-incremental" in page_of(site, "strategies", "icarl")


def test_every_command_and_option_is_in_the_reference(site: Path) -> None:
    import typer

    text = (site / "reference" / "commands.md").read_text(encoding="utf-8")

    def look(name: str, command: Any) -> None:
        assert name == "clbench" or f" {name}\n" in text
        for option in command.params if name != "clbench" else ():
            if option.param_type_name == "option" and option.name != "help":
                assert f"`{option.opts[0]}`" in text, f"{name} {option.opts}"
        for word, one in getattr(command, "commands", {}).items():
            look(f"{name} {word}", one)

    look("clbench", typer.main.get_command(app))


def test_every_key_is_told_in_words(site: Path) -> None:
    reference = site / "reference"
    for file in (reference / "keys.md", site / "catalogue" / "optimisers.md"):
        rows = [line for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
        assert rows
        assert all(not row.endswith("|  |") for row in rows), [row for row in rows if row.endswith("|  |")]
    python = (reference / "python.md").read_text(encoding="utf-8")
    assert "\n## run\n\n```python\ncl.run(\n" in python
    assert "module" not in python.partition("\n## sweep\n")[2][:60]
    assert "| `130` |" in (reference / "exit-codes.md").read_text(encoding="utf-8")


def test_text_is_escaped() -> None:
    hostile = "<script>alert(1)</script> | a_b *x* [y](javascript:z) `q` $e$ ~~s~~ ^2^"
    for made in (escaped(hostile), prose(hostile), table(["h"], [[prose(hostile)]])):
        assert "<script" not in made
        assert "](javascript" not in made.replace("\\](", "")
        assert "$" not in made
        assert not re.search(r"(?<!\\)`q`", made) or made.count("`") % 2 == 0
    assert code("a|b <i>`") == "<code>a&#124;b &#60;i&#62;\\`</code>"
    assert prose("see ``a_b`` (arXiv:1612.00796)") == "see `a_b` ([arXiv:1612.00796](https://arxiv.org/abs/1612.00796))"
    assert prose("as for 'ewc'.", lambda name: f"{name}.md") == "as for [`ewc`](ewc.md)."
    assert values("batch | online or null") == "`batch`, `online` or `null`"


def test_maths_is_found_among_words() -> None:
    text = "eq. 11: g ← g − (g·g_m / g_m·g_m) g_m where g·g_m < 0, over all weights (λ, how much)."
    assert "".join(part for part, _ in spans(text)) == text
    assert [part for part, is_maths in spans(text) if is_maths] == [
        "g ← g − (g·g_m / g_m·g_m) g_m",
        "g·g_m < 0",
        "λ",
    ]
    assert equations(text) == ["g ← g − (g·g_m / g_m·g_m) g_m"]
    assert equations("Networks whose layers follow one another, 3 × 3.") == []


def test_sources_are_read_from_a_docstring() -> None:
    found = sources("Kirkpatrick et al. 2017 (arXiv:1612.00796), eq. 3, and van de Ven et al. 2020 (CoLLAs).")
    assert [source.authors for source in found] == ["Kirkpatrick et al. 2017", "van de Ven et al. 2020 (CoLLAs)"]


def test_two_names_never_share_a_file() -> None:
    assert slug("der++") == "der-plus-plus"
    with pytest.raises(ValueError, match="would both be"):
        slugs(["a b", "a-b"])
