"""Rewrite results/baseline: every strategy on the digits scenarios over five seeds, by the command line's own run.

    python -m tests.bench.baselines [--leaderboard-only | STRATEGY…]

Without names all strategies run, but for those that refuse the stream; each one's old files go first. The leaderboard
is 'clbench compare' in markdown.
"""

from __future__ import annotations

import sys
from pathlib import Path

from clbench import registry, store
from clbench.analysis.compare import leaderboards
from clbench.analysis.load import load
from clbench.analysis.ranking import ranking
from clbench.cli.run import run
from clbench.errors import UserError
from clbench.render.formats import as_text

FOLDER = Path(__file__).resolve().parents[2] / "results" / "baseline"
# The recipes' networks have no attention, and digits neither an upstream dataset nor an order of time.
LEFT_OUT = {"l2-attention", "co-finetuning", "persistence"}
GATED = ("naive", "ewc", "ewc-fixed", "er")  # what 'make gate' reads stays in single files
SCENARIOS = ("split-digits", "permuted-digits")


def main() -> None:
    """Run, then write the leaderboard."""
    names = sys.argv[1:] or [name for name in registry.strategy.listed if name not in LEFT_OUT]
    if names == ["--leaderboard-only"]:
        names = []
    for scenario in SCENARIOS:
        for name in names:
            store.remove(file for _, file in store.find([FOLDER / scenario / name]) if store.is_there(file))
            try:
                run(strategy=name, scenario=scenario, seeds="5", results=str(FOLDER), quiet=True)
                print(f"{scenario} {name}", flush=True)
            except UserError as error:  # class-incremental methods, for instance, on tasks with heads
                print(f"{scenario} {name} is left out: {error}", flush=True)
    store.pack(FOLDER, [f"split-digits/{name}/*" for name in GATED])
    write_leaderboard()


def write_leaderboard() -> None:
    """What 'clbench compare results/baseline --format markdown' prints."""
    runs, left_out = load([FOLDER])
    assert not left_out, left_out
    boards = leaderboards(runs)
    store.write_text(FOLDER / "leaderboard.md", as_text(boards, ranking(boards), "markdown"))


if __name__ == "__main__":
    main()
