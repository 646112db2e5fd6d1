"""``clbench.sweep``: all runs of a plan, from a program."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from clbench import store
from clbench.analysis.runs import run_of
from clbench.api.audience import Program, console, interruptible
from clbench.api.caller import undisturbed
from clbench.api.plans import SweepOrder, conduct, expanded
from clbench.api.results import Results
from clbench.api.settings import plain
from clbench.errors import Remark
from clbench.sweeps import plan as plans
from clbench.yaml_files import read_yaml

if TYPE_CHECKING:
    from clbench.config import RunConfig


def sweep(
    plan: str | Path | Mapping[str, Any],
    *,
    results: str | Path | None = None,
    executor: Literal["local", "ray"] = "local",
    workers: int | None = None,
    threads: int | None = None,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    gpus: float = 0,
    address: str | None = None,
    retry_failed: bool = False,
    checkpoint: float = 5.0,
    data_root: str | Path | None = None,
    offline: bool = False,
    plugin: str | Path | Sequence[str | Path] = (),
    diagnostics: bool = False,
    quiet: bool = False,
) -> Results:
    """Run all configurations of a plan, several at once, as ``clbench sweep`` does; return all of its runs.

    ``plan``: a YAML file or a mapping with the same keys: ``{"base": {"epochs": 2}, "grid": {"strategy": ["naive",
    "ewc"]}, "seeds": 3}``. What has a Result in ``results``, a folder or URL, is not run again; without it nothing is
    kept on disk. Runs that fail are tried again, and at last warned of and named in ``failures``. Ctrl-C stops where
    every run can be continued. Raises UserError for what can be corrected.
    """
    content, name = (plain(plan), "plan") if isinstance(plan, Mapping) else (read_yaml(Path(plan)), Path(plan).name)
    asked = plans.read(content, name)
    with ExitStack() as stack:
        place = results or stack.enter_context(tempfile.TemporaryDirectory(prefix="clbench-"))
        order = SweepOrder(
            asked,
            name,
            str(place),
            executor=executor,
            workers=workers,
            threads=threads,
            device=device,
            gpus=gpus,
            address=address,
            forgive=retry_failed,
            minutes=checkpoint,
            data_root=data_root,
            offline=offline,
            plugins=[plugin] if isinstance(plugin, str | Path) else plugin,
            diagnostics=diagnostics,
        )
        configs = expanded(order)
        stack.enter_context(undisturbed())
        failures = _conducted(order, configs, Program(quiet))
        return _made(configs, store.open_folder(place), failures, results is None)


def _conducted(order: SweepOrder, configs: list[RunConfig], audience: Program) -> list[str]:
    """Run them, and say what has failed for good. Raises KeyboardInterrupt where it was stopped."""
    from clbench.render.sweep import SweepProgress, failures

    shown = None if audience.quiet else SweepProgress(console(), len(configs))
    with interruptible(audience.note) as stopping:
        try:
            tally = conduct(order, configs, shown or (lambda _: None), stopping)
        finally:
            if shown is not None:
                shown.close()
        if tally.stopped:
            raise stopping.error(f"Stopped with {tally.left} of {tally.total} runs left. The same call goes on.")
    failed = list(failures(tally.failures))
    for line in failed:
        warnings.warn(Remark(f"failed: {line}"), stacklevel=4)
    return failed


def _made(configs: Sequence[RunConfig], folder: store.Folder, failures: Sequence[str], hold: bool) -> Results:
    """The plan's runs that have a Result, which are read again when asked for, unless they are to be held."""
    found = []
    for config in configs:
        if store.has(config.result_name, folder):
            there = f"{folder}/{config.result_name}"
            found.append((store.parsed(store.raw(config.result_name, folder), there), there))
    hold = hold or not isinstance(folder, store.LocalFolder)
    runs = [run_of(result, None if hold else Path(there)) for result, there in found]
    return Results(runs, [result if hold else None for result, _ in found], failures)
