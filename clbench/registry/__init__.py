"""What there is: strategies, scenarios and networks by name, and what their source text says of them."""

from clbench.registry.options import (
    Count,
    NonNegative,
    Positive,
    Ratio,
    Shape,
    Share,
    UnitInterval,
    options_model,
)
from clbench.registry.units import (
    REGISTRIES,
    Declared,
    Networks,
    Registry,
    add_plugin,
    model,
    role_of,
    scenario,
    strategy,
)

__all__ = [
    "REGISTRIES",
    "Count",
    "Declared",
    "Networks",
    "NonNegative",
    "Positive",
    "Ratio",
    "Registry",
    "Shape",
    "Share",
    "UnitInterval",
    "add_plugin",
    "model",
    "options_model",
    "role_of",
    "scenario",
    "strategy",
]
