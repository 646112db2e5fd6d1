"""What a shell gets after Tab, by the protocol that it speaks with the real command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.served import clbench

COMMAND = Path(sys.executable).with_name("clbench")
LINES = [
    ("run --strategy ew", {"ewc", "ewc-fixed", "ewc-online"}),
    ("run --strategy lwf+ew", {"lwf+ewc", "lwf+ewc-fixed", "lwf+ewc-online"}),
    ("run --strategy der+", {"der++"}),
    ("run --scenario warm-start-d", {"warm-start-digits"}),
    ("run --model ml", {"mlp"}),
    ("run --epochs 5 --model ml", {"mlp"}),
    ("run --strategy er --set strategy.m", {"strategy.memory="}),
    ("run --strategy ewc --set optimizer.mo", {"optimizer.momentum="}),
    ("tune --strategy er --space strategy.m", {"strategy.memory="}),
    ("tune --metric learn", {"learning_accuracy"}),
    ("compare --sort forgetting_", {"forgetting_all_tasks", "forgetting_first_last"}),
    ("compare --by optimizer.l", {"optimizer.lr"}),
    ("compare --where batch", {"batch_size="}),
    ("check --metric learn", {"learning_accuracy"}),
    ("results list --strategy ewc-o", {"ewc-online"}),
    ("describe strategy reset", {"reset-head", "reset-layers"}),
    ("describe scenario split-c", {"split-cifar100-b50", "split-cifar100-b0-10"} | {
        f"split-c{end}" for end in ("ifar10", "ifar100", "overtype")
    } | {
        f"split-class-{data}"
        for data in ("digits", "mnist", "fashion-mnist", "kmnist", "cifar10", "cifar100", "covertype")
    }),
    ("describe metric forward", {"forward_transfer"}),
]  # fmt: skip


def asked(line: str) -> dict[str, str]:
    """What a shell puts into the environment when Tab is pressed at the end of a line."""
    words = ["clbench", *line.split()]
    return {"_CLBENCH_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}


def test_the_installed_command_answers(tmp_path: Path) -> None:
    line, offered = LINES[0]
    done = subprocess.run([COMMAND], cwd=tmp_path, capture_output=True, text=True, env=os.environ | asked(line))
    assert (done.returncode, set(done.stdout.split()), done.stderr) == (0, offered, "")


@pytest.mark.parametrize(("line", "offered"), LINES, ids=[line for line, _ in LINES])
def test_tab_offers_names(line: str, offered: set[str], tmp_path: Path) -> None:
    done = clbench(cwd=tmp_path, **asked(line))
    assert (done.returncode, set(done.stdout.split()), done.stderr) == (0, offered, "")


def test_completion_imports_no_torch() -> None:
    code = (
        "import sys\nfrom clbench.cli import completion\nfrom types import SimpleNamespace\n"
        "completion.assigned_keys(SimpleNamespace(params={'strategy': 'ewc'}), '')\n"
        "completion.units(SimpleNamespace(params={'kind': 'scenario'}), '')\ncompletion.columns('')\n"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
