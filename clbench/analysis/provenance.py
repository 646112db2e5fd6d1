"""Where a number comes from: the command that makes a run again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from clbench.store import Result, canonical, flat

FLAGS = ("strategy.name", "scenario.name", "model.name", "seed")


def command(result: Result, seeds: Sequence[int] = ()) -> str:
    """Return the command line that repeats a run, or it with these ``seeds``; every setting is named, whatever later
    defaults are.

    Settings of a composition's parts and of plugins are named like any others; a ``--plugin`` file must be added by
    hand.
    """
    config = flat(result.config)
    words = ["clbench", "run", "--strategy", str(config["strategy.name"]), "--scenario", str(config["scenario.name"])]
    if "model.name" in config:
        words += ["--model", str(config["model.name"])]
    for key, value in config.items():
        if key not in FLAGS:
            words += [
                "--set",
                f"{key}={value if isinstance(value, str) and value.isidentifier() else canonical(value)}",
            ]
    words += ["--set", f"seeds={canonical(list(seeds or [result.seed]))}"]
    return shlex.join(words)
