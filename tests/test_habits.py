"""What GitHub, pre-commit and make read: it parses, it names what there is, and it says the same as pyproject.toml."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import clbench

ROOT = Path(__file__).resolve().parents[1]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PYTHONS = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', PYPROJECT)
TARGETS = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
SCHEMAS = {
    "vendor.github-workflows": WORKFLOWS,
    "vendor.github-issue-forms": FORMS,
    "vendor.github-issue-config": [GITHUB / "ISSUE_TEMPLATE" / "config.yml"],
    "vendor.dependabot": [GITHUB / "dependabot.yml"],
    "vendor.citation-file-format": [ROOT / "CITATION.cff"],
}


def read(path: Path) -> dict[Any, Any]:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in read(path)["jobs"].values() for step in job["steps"]]


def events(path: Path) -> Any:
    return read(path)[True]  # YAML 1.1 takes the key 'on' for a truth value


def named(name: str) -> Path:
    return GITHUB / "workflows" / f"{name}.yml"


@pytest.mark.parametrize("schema", SCHEMAS)
def test_files_are_what_their_readers_expect(schema: str) -> None:
    pytest.importorskip("check_jsonschema", reason="check-jsonschema, of the extra 'dev', is not installed")
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *map(str, SCHEMAS[schema])]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_is_a_workflow_for_tests_docs_gate_and_release() -> None:
    assert [path.stem for path in WORKFLOWS] == ["docs", "gate", "release", "tests"]
    assert "pull_request" in events(named("tests"))
    assert list(events(named("gate"))) == ["pull_request"]
    assert events(named("docs"))["push"] == {"branches": ["main"]}
    assert events(named("release")) == {"push": {"tags": ["v*"]}}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_call_what_there_is(path: Path) -> None:
    lines = [line for step in steps(path) for line in step.get("run", "").splitlines()]
    called = [shlex.split(line) for line in lines]
    assert {words[0] for words in called} <= {"make", "grep"}
    made = {words[1] for words in called if words[0] == "make"}
    assert made
    assert made <= TARGETS


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_may_read_and_no_more(path: Path) -> None:
    content = read(path)
    assert content["permissions"] == {"contents": "read"}
    assert all(job["timeout-minutes"] for job in content["jobs"].values())
    granted = {name: job["permissions"] for name, job in content["jobs"].items() if "permissions" in job}
    assert set(granted) <= {"publish"}
    for step in steps(path):
        assert "${{" not in step.get("run", ""), "a name from outside would be run as a command"
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"] == {"persist-credentials": False}


def test_pythons_are_those_of_the_package() -> None:
    matrix = read(named("tests"))["jobs"]["tests"]["strategy"]["matrix"]["python"]
    assert matrix == PYTHONS
    assert f'requires-python = ">={PYTHONS[0]}"' in PYPROJECT
    assert f'target-version = "py{PYTHONS[0].replace(".", "")}"' in PYPROJECT
    set_up = [step for path in WORKFLOWS for step in steps(path) if "setup-python" in step.get("uses", "")]
    assert {step["with"]["python-version"] for step in set_up} <= {*PYTHONS, "${{ matrix.python }}"}


def test_options_of_the_gate_are_those_of_check() -> None:
    (line,) = [step["run"] for step in steps(named("gate")) if "run" in step]
    _, _, given = shlex.split(line)
    variable, _, options = given.partition("=")
    assert f"$({variable})" in MAKEFILE
    shown = subprocess.run([sys.executable, "-m", "clbench", "check", "-h"], capture_output=True, text=True, timeout=60)
    assert all(word in shown.stdout for word in options.split() if word.startswith("--"))


def test_a_release_is_tried_before_it_is_published() -> None:
    jobs = read(named("release"))["jobs"]
    assert jobs["publish"]["needs"] == "build"
    assert jobs["publish"]["permissions"] == {"id-token": "write"}  # trusted publishing: no password is kept
    (publish,) = [step for step in jobs["publish"]["steps"] if "pypi-publish" in step["uses"]]
    assert "with" not in publish
    recipe = MAKEFILE.split("\ndist:")[1].split("\n\n")[0]
    order = ["-m build", "twine check --strict", "pip install --quiet dist/*.whl", "clbench run"]
    assert sorted(order, key=recipe.index) == order


def test_a_release_asks_for_version_day_and_citation(tmp_path: Path) -> None:
    (script,) = [step["run"] for step in steps(named("release")) if "grep" in step.get("run", "")]
    (tmp_path / "clbench").mkdir()

    def passes(tag: str, version: str, heading: str, cited: str) -> bool:
        (tmp_path / "clbench" / "__init__.py").write_text(f'__version__ = "{version}"\n')
        (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n## {heading}\n", encoding="utf-8")
        (tmp_path / "CITATION.cff").write_text(f"title: clbench\nversion: {cited}\n")
        environment = {"GITHUB_REF_NAME": tag, "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
        return subprocess.run(["bash", "-ec", script], cwd=tmp_path, env=environment, timeout=20).returncode == 0

    assert passes("v1.2.3", "1.2.3", "1.2.3 – 2030-01-31", "1.2.3")
    assert not passes("v1.2.3", "1.2.4", "1.2.3 – 2030-01-31", "1.2.3")
    assert not passes("v1.2.3", "1.2.3", "1.2.3 – unreleased", "1.2.3")
    assert not passes("v1.2.3", "1.2.3", "1.2.3 – 2030-01-31", "1.2.2")


@pytest.mark.parametrize(
    ("form", "asked"),
    [("bug", {"command", "happened", "environment"}), ("method", {"kind", "paper", "equations", "compared"})],
)
def test_forms_ask_for_what_a_maintainer_needs(form: str, asked: set[str]) -> None:
    fields = read(GITHUB / "ISSUE_TEMPLATE" / f"{form}.yml")["body"]
    required = {field["id"] for field in fields if field.get("validations", {}).get("required")}
    assert asked <= required
    if form == "bug":
        assert "result" in {field["id"] for field in fields} - required


def test_a_pull_request_is_asked_for_tests_changelog_and_versions() -> None:
    text = (GITHUB / "pull_request_template.md").read_text(encoding="utf-8")
    named_there = re.findall(r"`([\w./]+\.\w+|make [a-z]+)`", text) + re.findall(r"\b[A-Z]+\.md\b", text)
    assert {"make test", "CHANGELOG.md"} <= set(named_there)
    for name in named_there:
        assert name.removeprefix("make ") in TARGETS or (ROOT / name).exists()


def test_the_citation_is_of_this_version() -> None:
    citation = read(ROOT / "CITATION.cff")
    assert citation["version"] == clbench.__version__
    assert f'license = "{citation["license"]}"' in PYPROJECT
    assert f'authors = [{{name = "{citation["authors"][0]["name"]}"}}]' in PYPROJECT
    heading = re.search(r"^## (\S+) – (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert heading is not None
    version, day = heading.groups()
    assert version == citation["version"]
    assert str(citation.get("date-released", "unreleased")) == day


def test_pre_commit_works_without_network_with_tools_that_pyproject_names() -> None:
    (repository,) = read(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    hooks = {hook["id"]: hook for hook in repository["hooks"]}
    assert set(hooks) == {"ruff-check", "ruff-format", "mypy", "end-of-file", "large-files"}
    assert {hook["language"] for hook in hooks.values()} == {"system"}
    assert "VENV ?= .venv\n" in MAKEFILE
    assert all(hook["entry"].startswith(".venv/bin/") for hook in hooks.values())
    assert hooks["mypy"]["entry"].removeprefix(".venv/bin/") in MAKEFILE
    assert all(f'"{package}>=' in PYPROJECT for package in ("ruff", "mypy", "pre-commit", "pre-commit-hooks"))


def test_make_alone_lists_every_target_with_its_words() -> None:
    done = subprocess.run(["make", "-C", str(ROOT), "--no-print-directory"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr
    rows = [re.fullmatch(r"(make ([a-z]+) +)(\S.+)", line) for line in done.stdout.splitlines()]
    shown = [row for row in rows if row is not None]
    assert len(shown) == len(rows)
    assert len({len(row[1]) for row in shown}) == 1, "words stand below each other"
    phony = re.search(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)
    assert phony is not None
    declared = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
    assert {row[2] for row in shown} == declared == set(phony[1].split())
