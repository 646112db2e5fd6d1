"""How firmly a method holds the weights: importances, the safe range of ηλA, and what is left of a gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from clbench.strategy import Protection, by_layer

Measured = dict[str, Any]
HORIZONS = (1, 10, 100)
RATIO_BINS = 20
# ηλA spans orders of magnitude: bins of half a decade.
LOWEST, HIGHEST, DECADE_BINS = -8, 3, 22


def holding(protection: Protection, eta: float) -> Measured:
    """Measure a protection under a learning rate η, the stage's largest (Lubana et al. 2022, CoLLAs, section 5).

    For each layer mean and largest importance A. ``retained`` is what is left, on average over weights, of a gradient
    step after so many later ones: (1 − s)^k with the share s of the way back to the anchor that a step goes – ηλA for a
    penalty under plain SGD, R of the last step for an interpolation; times η it is the effective learning rate. A
    penalty has ``lam_upper``, 1/(η·max A), beyond which steps pass the anchor, and the shares of weights with ηλA > 1
    (passing it), > 2 (diverging) and < 0 (pushed away).
    """
    importances = by_layer(protection.importance)
    penalty = protection.kind == "penalty"
    shares = {layer: values * eta if penalty else values for layer, values in by_layer(protection.strength).items()}
    whole = torch.cat(list(shares.values()))
    found: Measured = {
        "kind": protection.kind,
        "importance": {layer: _mean_and_max(values) for layer, values in importances.items()},
        "share": {layer: _mean_and_max(values) for layer, values in shares.items()},
        "histogram": {layer: (_decades(values) if penalty else _ratios(values)) for layer, values in shares.items()},
        "retained": {str(steps): _number((1 - whole).abs().pow(steps).mean()) for steps in HORIZONS},
    }
    if penalty:
        largest = max(float(values.max()) for values in importances.values())
        found["lam_upper"] = 1 / (eta * largest) if eta * largest > 0 else None
        found["above_1"], found["above_2"] = (float((whole > limit).float().mean()) for limit in (1, 2))
        found["below_0"] = float((whole < 0).float().mean())
    return found


def _mean_and_max(values: Tensor) -> dict[str, float]:
    return {"mean": _number(values.mean()), "max": _number(values.max())}


def _number(value: Tensor) -> float:
    """A finite number: what overflows is very large, and JSON knows no infinity."""
    return float(value.double().nan_to_num(nan=0.0, posinf=1e300, neginf=-1e300))


def _ratios(values: Tensor) -> list[int]:
    """Counts of R in 20 equal bins from 0 to 1."""
    counts: list[int] = torch.histc(values.float().cpu(), RATIO_BINS, 0.0, 1.0).long().tolist()
    return counts


def _decades(values: Tensor) -> list[int]:
    """Counts of positive ηλA in bins of half a decade from 10⁻⁸ to 10³; smaller ones are in the first bin."""
    exponents = values[values > 0].float().log10().clamp(LOWEST, HIGHEST)
    counts: list[int] = torch.histc(exponents.cpu(), DECADE_BINS, LOWEST, HIGHEST).long().tolist()
    return counts
