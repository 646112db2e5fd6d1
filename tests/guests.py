"""Which of Avalanche's strategies and plugins run on a small stream, with what options, and why the others do not.

    python -m tests.guests

rewrites ``tests/avalanche.md``, which tests/test_guests.py compares with what happens.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clbench.config import resolve
from clbench.data.sources import DataPlace
from clbench.engine.run import Machine, run
from clbench.errors import UserError
from clbench.registry import guests

FILE = Path(__file__).parent / "avalanche.md"
KINDS = ("task", "class")
SMALL: dict[str, Any] = {
    "scenario": {"name": "split-digits", "tasks": 2, "samples_per_task": 24},
    "model": {"name": "mlp", "widths": [8]},
    "batch_size": 4,
    "epochs": 1,
}
# Options that have no default, and those that keep a small run small.
OPTIONS: dict[str, dict[str, Any]] = {
    "AGEM": {"patterns_per_exp": 10},
    "BiC": {"stage_2_epochs": 1},
    "EWC": {"ewc_lambda": 1.0},
    "GEM": {"patterns_per_exp": 10},
    "LFL": {"lambda_e": 1.0},
    "LearningToPrompt": {"model_name": "vit_tiny_patch16_224", "pretrained": False},
    "LwF": {"alpha": 1.0, "temperature": 2.0},
    "MIR": {"subsample": 20},
    "PackNet": {"post_prune_epochs": 1, "prune_proportion": 0.5},
    "SynapticIntelligence": {"si_lambda": 0.1},
    "AGEMPlugin": {"patterns_per_experience": 10, "sample_size": 10},
    "BiCPlugin": {"stage_2_epochs": 1},
    "EarlyStoppingPlugin": {"patience": 1, "val_stream_name": "test"},
    "EWCPlugin": {"ewc_lambda": 1.0},
    "GEMPlugin": {"patterns_per_experience": 10, "memory_strength": 0.5},
    "LFLPlugin": {"lambda_e": 1.0},
    "MIRPlugin": {"batch_size_mem": 4},
    "GSS_greedyPlugin": {"mem_size": 200, "input_size": [1, 8, 8]},
    "RARPlugin": {"batch_size_mem": 4, "name_ext_layer": "backbone"},
    "SynapticIntelligencePlugin": {"si_lambda": 0.1},
}
# Settings of single classes: a VAE of Avalanche's is for 28 × 28 pixels; PackNet has two phases in a stage.
SETTINGS: dict[str, dict[str, Any]] = {
    "GenerativeReplay": {"scenario": {"image_size": 28}},
    "GenerativeReplayPlugin": {"scenario": {"image_size": 28}},
    "PackNet": {"epochs": 2},
    "ER_AML": {"batch_size": 2},
    "GSS_greedy": {"batch_size": 16, "scenario": {"samples_per_task": 48}},
    "GSS_greedyPlugin": {"batch_size": 16, "scenario": {"samples_per_task": 48}},
}
RUNS = "runs"


def outcome(path: str, kind: str) -> str:
    """'runs', or in one sentence why it does not."""
    name = path.rpartition(".")[2]
    given = {"strategy": {"name": path, **OPTIONS.get(name, {})}, "scenario": {"incremental": kind}}
    try:
        (config,) = resolve(SMALL, SETTINGS.get(name, {}), given)
        result = run(config, Machine(DataPlace.default(offline=True), "cpu", threads=1))
    except UserError as error:
        return str(error)
    except Exception as error:  # a plugin's own: the run shows it as it is
        return f"{type(error).__name__}: {error}"
    return RUNS if result.status == "ok" else f"diverges: {result.reason}"


def table() -> str:
    """The table, as Markdown."""
    lines = [
        "# Avalanche's strategies and plugins in clbench",
        "",
        "Written by `python -m tests.guests` on two tasks of split digits; a test runs each again.",
        "",
        "| class | task-incremental | class-incremental | with | why not |",
        "|---|---|---|---|---|",
    ]
    for path in guests.listed("strategy"):
        name = path.rpartition(".")[2]
        found = [outcome(path, kind) for kind in KINDS]
        given = " ".join(f"{key}={value}" for key, value in OPTIONS.get(name, {}).items())
        why = next((one for one in reversed(found) if one != RUNS), "")
        marks = ["yes" if one == RUNS else "no" for one in found]
        lines.append(
            f"| `{path.removeprefix('avalanche.training.')}` | {' | '.join(marks)} | {given} | {_short(why)} |"
        )
    return "\n".join(lines) + "\n"


def _short(why: str) -> str:
    """The reason, without what is said before and after it in an error."""
    text = " ".join(why.split()).replace("|", "/")
    for before in ("cannot be run: ", "cannot be made: ", "cannot go on "):
        text = text.partition(before)[2] or text
    return text if len(text) <= 160 else f"{text[:159]}…"


def known() -> dict[str, tuple[str, str]]:
    """What the file says of each class, by import path."""
    rows = [line.split("|") for line in FILE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    return {f"avalanche.training.{row[1].strip(' `')}": (row[2].strip(), row[3].strip()) for row in rows}


if __name__ == "__main__":
    FILE.write_text(table(), encoding="utf-8")
