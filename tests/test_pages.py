"""The README and the pages are true: what is generated, every link, every command line, the examples."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from clbench.config import RunConfig, resolve
from clbench.metrics import registry
from tests.pages import PAGES, README, everything, rewritten
from tests.served import clbench, python

TEXT = everything()


def block(language: str, word: str) -> str:
    """The code block of a language that has a word in it."""
    blocks = [b for b in re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL) if word in b]
    assert len(blocks) == 1
    return str(blocks[0])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_is_made_is_up_to_date(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert rewritten(text) == text, "run: make pages"


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 180


def test_example_config_resolves_and_has_every_key() -> None:
    example = yaml.safe_load(block("yaml", "evaluate_all_every:"))
    assert len(resolve(example)) == 3
    assert set(example) | {"steps", "until_train_accuracy", "max_epochs", "seed", "tuned", "code"} == set(
        RunConfig.model_fields
    ) | {"seeds"}


def test_example_strategy_runs(tmp_path: Path) -> None:
    (tmp_path / "my_method.py").write_text(block("python", "@strategy"))
    words = ["run", "--strategy", "shrink", "--plugin", "my_method.py", "--set", "strategy.strength=0.1", "--quiet"]
    words += ["--set", "epochs=1", "--set", "scenario.samples_per_task=32"]
    done = clbench(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_example_scenario_runs(tmp_path: Path) -> None:
    (tmp_path / "tilted.py").write_text(block("python", "@scenario("))
    words = ["run", "--plugin", "tilted.py", "--scenario", "tilted-digits", "--strategy", "er", "--quiet"]
    words += ["--set", "scenario.step=30", "--set", "epochs=1", "--set", "scenario.samples_per_task=32"]
    done = clbench(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "results" / "tilted-digits" / "er").is_dir()


def test_example_metric_is_a_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "METRICS", {})
    here: dict[str, Any] = {}
    exec(compile(block("python", "@metric("), "metric.md", "exec"), here)
    assert list(registry.METRICS) == ["first_task_accuracy"]
    assert here["first_task_accuracy"]([[0.5, 0.5], [0.9, 0.5], [0.7, 0.8]]) == 0.7


def test_example_program_runs(tmp_path: Path) -> None:
    code = block("python", "import clbench as cl").replace("seeds=3", "seeds=2").replace('"seeds": 2', '"seeds": 1')
    code = code.replace("[0.1, 1, 10]", "[0.1, 1]")
    (tmp_path / "example.py").write_text(code)
    done = python("example.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("split-domain-digits\n2 seeds.")
    assert {path.name for path in tmp_path.iterdir()} == {"example.py", "results"}


def test_example_of_ones_own_data_runs(tmp_path: Path) -> None:
    code = "import clbench as cl\n" + block("python", "cl.stream(x").replace("seeds=3", "seeds=1")
    (tmp_path / "example.py").write_text(code)
    done = python("example.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("time-sales: 600 rows of 4 columns, 2 classes (no, yes), from 2024-01-01 to")
    assert "\n4 periods; " in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["example.py"]


def test_nothing_is_left_to_fill_in() -> None:
    assert not re.findall(r"@[A-Z]+@", TEXT)


def test_what_is_said_of_data_commands_can_be_parsed() -> None:
    from typer.testing import CliRunner

    from clbench.cli import app

    lines = [line.split("#")[0].split() for line in TEXT.splitlines() if line.startswith("clbench data ")]
    assert {words[2] for words in lines} >= {"describe", "embed"}
    for words in lines:
        known = CliRunner().invoke(app, [*words[1:3], "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).output
        assert all(word in known for word in words if word.startswith("-")), words
