"""One study: a list of runs as 'clbench sweep', which goes on where it was; their Results are packed, and told."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from clbench import store
from tests.real_data import prepared

ROOT = Path(__file__).resolve().parents[2]


def conduct(folder: Path, points: Sequence[dict[str, Any]], seeds: int, workers: int) -> None:
    """Run what a folder lacks of a study, one thread a run, and pack it. Exits where the real data or a run fail."""
    root = prepared()
    if root is None:
        sys.exit("the real data are not here: set CLBENCH_TEST_DATA, or provide ../shared/data")
    plan = ROOT / "build" / f"{folder.name}.yaml"
    store.write_text(plan, yaml.safe_dump({"list": [*points], "seeds": seeds}))
    command = [sys.executable, "-m", "clbench", "sweep", str(plan), "--results", str(folder), "--data-root", str(root)]
    done = subprocess.run([*command, "--workers", str(workers), "--threads", "1", "--yes"])
    if done.returncode:
        sys.exit(done.returncode)
    for name in (".sweeps", ".checkpoints"):
        shutil.rmtree(folder / name, ignore_errors=True)
    store.pack(folder)


def board(folder: Path, *words: str) -> str:
    """What 'clbench compare' with these words says of a study's Results, as Markdown."""
    compare = [sys.executable, "-m", "clbench", "compare", str(folder), "--format", "markdown", *words]
    return subprocess.run(compare, check=True, capture_output=True, text=True).stdout
