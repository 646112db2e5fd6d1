"""Rewrite results/baseline: every strategy on the digits scenarios over five seeds, by the command line's own run.

    python -m tests.bench.baselines [STRATEGY…]

Without names all strategies run and old files go first. The leaderboard is 'clbench compare' in markdown.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from clbench import registry, store
from clbench.analysis.compare import leaderboards
from clbench.cli.run import run
from clbench.render import tables

FOLDER = Path(__file__).resolve().parents[2] / "results" / "baseline"
SCENARIOS = ("split-digits", "permuted-digits")


def main() -> None:
    """Run, then write the leaderboard."""
    names = sys.argv[1:] or list(registry.strategy.listed)
    for scenario in SCENARIOS:
        for name in names:
            shutil.rmtree(FOLDER / scenario / name, ignore_errors=True)
            run(strategy=name, scenario=scenario, seeds="5", results=FOLDER, quiet=True)
            print(f"{scenario} {name}", flush=True)
    results, left_out = store.read_all([FOLDER])
    assert not left_out, left_out
    store.write_text(FOLDER / "leaderboard.md", tables.leaderboards_markdown(leaderboards(results)))


if __name__ == "__main__":
    main()
