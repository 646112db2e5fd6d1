"""The wheel has everything that the house has: a new room, template or recipe that pyproject.toml forgets is named."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = {"clbench": "clbench", "strategies": "clbench/strategies", "scenarios": "clbench/scenarios"}
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of the files in a wheel, which is built from a copy: building leaves folders behind."""
    copy = tmp_path_factory.mktemp("copy")
    for room in ROOMS:
        shutil.copytree(ROOT / room, copy / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    words = [sys.executable, "-c", BUILD, str(copy / "dist")]
    done = subprocess.run(words, cwd=copy, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (wheel,) = (copy / "dist").glob("*.whl")
    with ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_every_file_of_the_rooms_is_in_it(packed: set[str]) -> None:
    files = {room: [path for path in (ROOT / room).rglob("*") if path.is_file()] for room in ROOMS}
    expected = {
        f"{place}/{path.relative_to(ROOT / room).as_posix()}"
        for room, place in ROOMS.items()
        for path in files[room]
        if "__pycache__" not in path.parts
    }
    assert {
        "clbench/py.typed",
        "clbench/strategies/naive.py",
        "clbench/scenarios/tuned/split-digits/ewc.yaml",
    } <= expected
    assert expected - packed == set()
    assert {name for name in packed if ".dist-info/" not in name} - expected == set()
