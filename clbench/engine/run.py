"""One run: data in, R out."""

from __future__ import annotations

import time

from clbench import store
from clbench.checkpoints.checkpoint import Checkpoints
from clbench.checkpoints.moments import discard
from clbench.checkpoints.saved import Finished, weights_of
from clbench.config import RunConfig
from clbench.engine.assemble import Machine, assemble
from clbench.engine.told import told
from clbench.engine.train import train
from clbench.progress import Reporter
from clbench.store.folders import Folder

__all__ = ["Machine", "complete", "finished", "run"]


def run(
    config: RunConfig, machine: Machine, reporter: Reporter | None = None, checkpoints: Checkpoints | None = None
) -> store.Result:
    """Run one configuration, or what is left of it, and return its Result.

    A run whose loss or weights become NaN or infinite ends with status 'diverged'. Raises UserError for what a user can
    fix: missing data, a scenario that its dataset cannot fill, strategies that cannot be composed, a unit whose code
    has changed since the config was made; StoppedError if ``checkpoints`` says that it should stop. Checkpoints stay
    until their Result is written: see ``complete``.
    """
    return finished(config, machine, reporter, checkpoints).result


def finished(
    config: RunConfig, machine: Machine, reporter: Reporter | None = None, checkpoints: Checkpoints | None = None
) -> Finished:
    """Likewise, and return the network too."""
    started = time.perf_counter()
    assembled = assemble(config, machine, reporter or Reporter(), checkpoints or Checkpoints())
    trained = train(assembled)
    return Finished(told(assembled, trained, started), assembled.learner.model, assembled.resident.encode)


def complete(
    config: RunConfig,
    machine: Machine,
    folder: Folder,
    reporter: Reporter | None = None,
    checkpoints: Checkpoints | None = None,
    save_model: bool = False,
) -> tuple[store.Result, str]:
    """Run a configuration and write its Result to a folder; then its checkpoints go. Return Result and name.

    ``save_model``: first the final weights, beside it; a diverged run has none worth keeping.
    """
    done = finished(config, machine, reporter, checkpoints)
    result = done.result
    if save_model and result.status == "ok":
        store.write_file(store.weights_name(store.name_of(result)), weights_of(done), folder)
    name = store.write_to(result, folder)
    if checkpoints is not None and checkpoints.folder is not None:
        discard(config, checkpoints.folder)
    return result, name
