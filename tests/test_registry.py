"""Discovery: by folder, plugin file and import path; options from signatures; duplicates refused."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from clbench import registry
from clbench.config import resolve
from clbench.data.sources import DataPlace
from clbench.engine.run import Machine, run
from clbench.errors import UserError
from clbench.registry import Registry
from clbench.registry.catalogue import FAMILIES, scan
from clbench.registry.words import Words, taken_apart, words
from clbench.render import catalogue
from clbench.render.catalogue import Described
from clbench.render.tables import print_table
from clbench.store import parts

PLUGIN = '''
from typing import Literal
from clbench.registry import Positive, strategy
from clbench.strategy import Strategy

Mood = Literal["calm", "wild"]


@strategy("mine")
class Mine(Strategy):
    """Does nothing, for a test.

    Nobody 2026 (arXiv:2601.00001).
    force: how hard.
    """

    def __init__(self, *, force: Positive = 2.0, mood: Mood = "calm", times: tuple[int, ...] = (1, 2)) -> None:
        super().__init__()
        self.force = force
'''


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for kind in (registry.strategy, registry.scenario, registry.model):
        for name in kind.listed:  # a module imported during the test would declare into the copy, and be lost with it
            kind.load(name)
        monkeypatch.setattr(kind, "_plugin_files", [])
        monkeypatch.setattr(kind, "_declared", dict(kind._declared))
        kind.__dict__.pop("listed", None)
    path = tmp_path / "my_plugin.py"
    path.write_text(PLUGIN)
    yield path
    for kind in (registry.strategy, registry.scenario, registry.model):
        kind.__dict__.pop("listed", None)


def test_plugin_file_is_listed_described_and_run(plugin: Path) -> None:
    registry.add_plugin(plugin)
    assert registry.strategy.listed["mine"].summary == "Does nothing, for a test."
    found = catalogue.description("strategy", "mine")
    assert found.title == "strategy mine (other)"
    assert found.doc == "Does nothing, for a test.\n\nNobody 2026 (arXiv:2601.00001)."
    assert found.options == [
        Described("strategy.force", "number > 0", "2.0", "how hard"),
        Described("strategy.mood", "calm | wild", "calm", ""),
        Described("strategy.times", "list of: whole number", "[1, 2]", ""),
    ]
    layer = {"scenario": {"name": "split-digits", "samples_per_task": 32}, "epochs": 1}
    result = run(resolve({"strategy": {"name": "mine", "force": 3}}, layer)[0], Machine(DataPlace.default()))
    assert result.config["strategy"] == {"name": "mine", "force": 3.0, "mood": "calm", "times": [1, 2]}
    with pytest.raises(UserError, match=r"strategy\.force: expected greater than 0"):
        resolve({"strategy": {"name": "mine", "force": 0}})


def test_a_name_that_is_taken_is_refused(plugin: Path) -> None:
    plugin.write_text(PLUGIN.replace('"mine"', '"ewc"'))
    registry.add_plugin(plugin)
    with pytest.raises(UserError, match=r"'ewc' is declared twice"):
        registry.strategy.listed  # noqa: B018


@pytest.mark.parametrize(
    ("text", "message"), [("x = 1", "declares no strategy"), ("def (", "cannot be read as Python")]
)
def test_plugin_that_is_none(plugin: Path, text: str, message: str) -> None:
    plugin.write_text(text)
    with pytest.raises(UserError, match=message):
        registry.add_plugin(plugin)


def test_plugin_that_is_missing() -> None:
    with pytest.raises(UserError, match="no such file"):
        registry.add_plugin(Path("nowhere.py"))


def test_listing_reads_text_and_runs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "unit.py"
    path.write_text(
        'raise SystemExit("ran")\n\n@strategy("quiet")\ndef quiet(*, a: int | None = None):\n    """Quiet."""\n'
    )
    (unit,) = scan(path, "strategy", None)
    assert (unit.name, unit.summary) == ("quiet", "Quiet.")
    assert [(o.name, o.type, o.default) for o in unit.options] == [("a", "whole number or null", "null")]


@pytest.mark.parametrize(
    "kind", [registry.strategy, registry.scenario, registry.model], ids=lambda kind: str(kind.kind)
)
def test_every_listed_unit_loads_and_its_options_match(kind: Registry) -> None:
    for name, listed in kind.listed.items():
        assert kind.load(name).version == listed.version, f"{name}: write the version as a number"
        assert kind.load(name).role == listed.role, f"{name}: write the role as a text"
        fields = kind.load(name).schema.model_fields
        assert [option.name for option in listed.options] == list(fields)
        for option in listed.options:
            assert option.type not in ("anything",), f"{name}: annotate {option.name}"
            assert not option.type[0].isupper(), f"{name}: '{option.type}' is no word for a user"


@pytest.mark.parametrize(
    "kind", [registry.strategy, registry.scenario, registry.model], ids=lambda kind: str(kind.kind)
)
def test_every_option_of_every_unit_is_explained(kind: Registry) -> None:
    """In the docstring, as 'name: words.'; or "Others as for 'ewc'."."""
    for name, unit in kind.listed.items():
        said = words(unit, kind.listed).options
        missing = [option.name for option in unit.options if not said.get(option.name)]
        assert not missing, f"{name}: say in the docstring what {', '.join(missing)} is"
        assert "as for '" not in " ".join(said.values()), f"{name}: borrows words that are not there"


def test_every_strategy_says_what_it_costs_and_which_family_it_is_of() -> None:
    for name, unit in registry.strategy.listed.items():
        assert catalogue.description("strategy", name).cost, f"{name}: add a paragraph 'Cost: …' to the docstring"
        assert unit.family != "other", f'{name}: say which, @strategy("{name}", family="…"), one of {list(FAMILIES)}'


def test_words_are_taken_from_sentences_that_begin_with_an_options_name() -> None:
    doc = (
        "What it is.\n\nSomebody 2020, whose rate: is no entry. rate: how fast (null:\nas it comes). "
        "a, b: two at once. Others as for 'ewc'.\n\nCost: a pass over ``a``\nimages."
    )
    assert taken_apart(doc, ["rate", "a", "b"]) == Words(
        "What it is.\n\nSomebody 2020, whose rate: is no entry.",
        {"rate": "how fast (null: as it comes)", "a": "two at once", "b": "two at once"},
        "ewc",
        "a pass over ``a`` images.",
    )


def test_strategies_stand_under_the_headings_of_their_families() -> None:
    table = catalogue.on_terminal("strategies", wide=False)
    first = [row[0] for row in table.rows]
    headings = [first[row] for row, _ in sorted(table.strong)]
    assert headings == [heading for family, heading in FAMILIES.items() if family != "other"]
    assert first.index("memory") < first.index("  er") < first.index("warm starts and plasticity")


@pytest.mark.parametrize("kind", ["strategies", "scenarios", "models", "metrics", "datasets"])
@pytest.mark.parametrize("width", [80, 160])
def test_lists_break_no_word_on_a_terminal(kind: str, width: int) -> None:
    shown = Console(width=width, file=io.StringIO())
    table = catalogue.on_terminal(kind, width >= catalogue.WIDE)
    print_table(table, shown)
    text = shown.file.getvalue()  # type: ignore[attr-defined]
    broken = [
        word for row in table.rows for cell in row for word in cell.split() if len(word) < 40 and word not in text
    ]
    assert not broken


@pytest.mark.parametrize("what", ["strategies", "scenarios", "models", "metrics", "datasets"])
def test_tables_are_whole(what: str) -> None:
    table = catalogue.table(what)
    assert len(table.rows) > 3
    assert all(len(row) == len(table.header) and all(row) for row in table.rows)


def test_description_of_a_scenario_has_its_recipe_and_common_options() -> None:
    found = catalogue.description("scenario", "split-cifar100")
    options = {one.key: one.default for one in found.options}
    assert options["scenario.tasks"] == "10"
    assert options["scenario.validation"] == "0.0"
    assert "optimizer: {name: sgd, lr: 0.01, momentum: 0.9}" in found.recipe.splitlines()
    again = resolve(yaml.safe_load(found.recipe), {"strategy": "naive"})
    assert again == resolve({"strategy": "naive", "scenario": "split-cifar100"}), "the recipe is a config"


def test_a_version_is_read_from_the_text_and_told(plugin: Path) -> None:
    plugin.write_text(PLUGIN.replace('@strategy("mine")', '@strategy("mine", version=3)'))
    registry.add_plugin(plugin)
    assert registry.strategy.listed["mine"].version == 3
    assert catalogue.description("strategy", "mine").doc.endswith("Version 3: older Results are told apart.")


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("ewc", "method"),
        ("joint", "bound"),
        ("cold", "bound"),
        ("random-fixed", "control"),
        ("naive+warm", "control"),
        ("naive+ewc", "method"),
        ("er+cumulative", "bound"),
        ("avalanche.training.plugins.EWCPlugin", "method"),
    ],
)
def test_roles_of_strategies_and_compositions(name: str, role: str) -> None:
    assert registry.role_of(parts(name)) == role


def test_a_role_is_read_from_the_text_and_told(plugin: Path) -> None:
    file = plugin.with_name("bounded.py")  # a name of its own: it is loaded
    file.write_text(PLUGIN.replace('@strategy("mine")', '@strategy("mine", role="bound")'))
    registry.add_plugin(file)
    assert registry.strategy.listed["mine"].role == "bound"
    assert registry.role_of(["mine", "ewc"]) == "bound"
    assert "A bound: it sees more data" in catalogue.description("strategy", "mine").doc


def test_an_unknown_role_is_refused(plugin: Path) -> None:
    plugin.write_text(PLUGIN.replace('@strategy("mine")', '@strategy("mine", role="controll")'))
    with pytest.raises(UserError, match=r"unknown role 'controll'\. Did you mean 'control'"):
        registry.add_plugin(plugin)


def test_unknown_metric() -> None:
    with pytest.raises(UserError, match="Did you mean 'forgetting'"):
        catalogue.description("metric", "forgeting")
