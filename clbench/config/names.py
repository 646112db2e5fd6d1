"""Names of scenarios: a family over a dataset, a standard setting, or a benchmark by import path."""

from __future__ import annotations

from clbench.config.standard import standards, stream_name
from clbench.data.known import scenario_names
from clbench.errors import UserError
from clbench.registry import scenario
from clbench.registry.elsewhere import meant


def scenario_parts(name: str) -> tuple[str, str]:
    """Split ``permuted-mnist`` into the family ``permuted`` and the dataset ``mnist``; a standard setting's stream too.

    A benchmark by import path, ``avalanche.benchmarks.SplitMNIST``, is both. Raises UserError, with the nearest names,
    for an unknown family or a name without a dataset.
    """
    families, name = scenario.listed, stream_name(name)
    for family in sorted(families, key=len, reverse=True):
        if name.startswith(f"{family}-") and len(name) > len(family) + 1:
            return family, name[len(family) + 1 :]
    if "." in name:
        return name, name
    raise UserError(
        f"Unknown scenario '{name}'.{meant('scenario', name, every_scenario())} A scenario is <family>-<dataset>, with "
        f"a family of {', '.join(families)}; 'clbench list scenarios' shows all."
    )


def every_scenario() -> list[str]:
    """Every name that a scenario can have, without files of a user's: standard settings, and families over datasets."""
    return [*standards(), *(f"{family}-{source}" for family, source in scenario_names(scenario.listed))]
