"""What runs and sweeps survive, in reduced form; ``make faults`` does it in full."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import pytest

from tests.faults import FAULTS, HERE
from tests.served import DOOR, door


@pytest.mark.parametrize("name", FAULTS)
def test_survives(name: str) -> None:
    """In a process of its own, since some faults fork."""
    if name == "lost-node" and importlib.util.find_spec("ray") is None:
        pytest.skip("ray is not installed")
    command = [sys.executable, "-m", "tests.faults", name]
    environ = os.environ | {DOOR: door()}
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=400, env=environ)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    count = json.loads(done.stdout.splitlines()[-1])
    if not count["tried"]:
        pytest.skip(count["note"])
    assert count["survived"] == count["tried"]
