"""How quadratic regularisers prevent forgetting (Lubana et al. 2022, CoLLAs), scaled down.

The paper's network is 64 maps wide and learns CIFAR-100 after CIFAR-10. Here it learns six classes of CIFAR-10 in
three tasks after the other four: 8 wide at full resolution in one order of classes, and as wide as the paper's on
images of half the side in orders drawn by seed. Every learning rate and λ is chosen on held-out images of another
seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from clbench.config.shipped import shipped_recipe
from clbench.reproduce.entry import Claim, Entry

SOURCE = "Lubana et al. 2022, CoLLAs"
IMPORTANCES = ("ewc", "mas", "si", "rwalk", "l2", "random")
ARMS = ("naive", "frozen-backbone", *IMPORTANCES, *(f"{name}-fixed" for name in IMPORTANCES))
LAMS = [round(10 ** (1 + half / 2), 1) for half in range(10)]
ETAS = [0.003, 0.01, 0.03, 0.1, 0.3]
VARIANTS: dict[str, dict[str, Any]] = {"raw": {}, "clamp": {"clamp": True}, "signed": {"signed": True}}


# Of the wide network: learning rate and, for penalties, λ.
CHOSEN: dict[str, tuple[float, float | None]] = {
    "naive": (0.003, None),
    "frozen-backbone": (0.003, None),
    "ewc": (0.003, 1000),
    "ewc-fixed": (0.003, None),
    "mas": (0.003, 10),
    "mas-fixed": (0.003, None),
    "si": (0.003, 1000),
    "si-fixed": (0.003, None),
    "rwalk": (0.003, 100),
    "rwalk-fixed": (0.003, None),
    "l2": (0.003, 0.1),
    "l2-fixed": (0.003, None),
}


def _claims(importances: Sequence[str] = IMPORTANCES) -> Iterator[Claim]:
    """Is explicit interpolation more accurate than its penalty, does it forget less, and is it better than freezing?"""
    for name in importances:
        yield Claim(f"{name}-fixed", name, "average_accuracy")
        yield Claim(f"{name}-fixed", name, "forgetting_all_tasks")
    yield Claim("ewc-fixed", "frozen-backbone", "average_accuracy")
    yield Claim("ewc-fixed", "naive", "average_accuracy")


def _wide_claims() -> Iterator[Claim]:
    """The same, and the order of the paper's table: every penalty above fine-tuning, explicit EWC not below L2's."""
    penalties = [name for name in IMPORTANCES if name in CHOSEN]
    yield from _claims(penalties)
    yield Claim("ewc-fixed", "l2-fixed", "average_accuracy")
    for name in penalties:
        yield Claim(name, "naive", "average_accuracy")


def _wide_arm(name: str) -> dict[str, Any]:
    """An arm of the wide network: heads are left free, and what needs each sample's gradient takes 500 images."""
    lr, lam = CHOSEN[name]
    options: dict[str, Any] = {} if name in ("naive", "frozen-backbone") else {"include_head": False}
    options |= {"ewc": {"fisher_samples": 500}, "mas": {"samples": 500}}.get(name, {})
    return {
        "strategy": {"name": name} | options | ({} if lam is None else {"lam": lam}),
        "optimizer": {"name": "sgd", "lr": lr, "momentum": 0.9},
    }


def _cells() -> dict[str, dict[str, Any]]:
    """SI as a penalty in three variants for every λ and η, and by interpolation for every η.

    Without momentum −g·Δθ = ηg² is never negative, so signed importances are those with a momentum of 0.9.
    """
    arms: dict[str, dict[str, Any]] = {}
    for eta in ETAS:
        for variant, options in VARIANTS.items():
            optimizer = {"lr": eta} | ({"momentum": 0.9} if variant == "signed" else {})
            for lam in LAMS:
                strategy = {"name": "si", "lam": lam, "include_head": False} | options
                arms[f"{variant}, λ {lam:g}, η {eta:g}"] = {"strategy": strategy, "optimizer": optimizer}
        explicit = {"name": "si-fixed", "include_head": False}
        arms[f"explicit, η {eta:g}"] = {"strategy": explicit, "optimizer": {"lr": eta}}
    return arms


RECIPES = {name: shipped_recipe(name, "split-cifar10") for name in ARMS}

ENTRIES = (
    Entry(
        "interpolation-cifar10",
        SOURCE,
        "pretrained narrow CNN, split CIFAR-10",
        {},
        RECIPES,
        claims=list(_claims()),
        minutes=20,
        differs="CIFAR-10 for CIFAR-100, 8 maps for 64, 4,000 images a task; λ and learning rate on held-out images.",
        needs=("cifar10",),
        diagnostics=True,
        pictures=("importance", "shares", "cka"),
        seeds=3,
    ),
    Entry(
        "interpolation-wide-cifar10",
        SOURCE,
        "pretrained CNN of the paper's width, split CIFAR-10 of 16 × 16 pixels",
        {
            "scenario": {
                "name": "split-cifar10",
                "tasks": None,
                "first": 4,
                "then": 2,
                "class_order": "first-fixed",
                "skip": 1,
                "samples_per_task": 2000,
                "image_size": 16,
            },
            "model": {"name": "cnn6"},
            "pretrain": {"name": "cifar10", "classes": 4, "epochs": 10},
            "batch_size": 10,
            "epochs": 1,
        },
        {name: _wide_arm(name) for name in CHOSEN},
        claims=list(_wide_claims()),
        minutes=60,
        differs="Six classes of CIFAR-10 for CIFAR-100, 16 × 16 pixels, 2,000 images a task; λ and learning rate on "
        "held-out images of another order.",
        needs=("cifar10",),
        diagnostics=True,
        diagnosed=1,
        pictures=("importance", "shares", "cka"),
    ),
    Entry(
        "interpolation-cifar100",
        SOURCE,
        "pretrained narrow CNN, CIFAR-100 in 10 tasks",
        {
            "scenario": {"name": "split-cifar100", "tasks": 10, "class_order": "fixed"},
            "model": {"name": "cnn6", "width": 8},
            "pretrain": {"name": "cifar10", "epochs": 15},
            "batch_size": 10,
            "epochs": 1,
        },
        {name: {key: recipe[key] for key in ("strategy", "optimizer")} for name, recipe in RECIPES.items()},
        claims=list(_claims()),
        minutes=90,
        differs="8 maps for 64; λ and learning rate are those chosen on CIFAR-10.",
        needs=("cifar10", "cifar100"),
    ),
    Entry(
        "instability-map",
        SOURCE,
        "SI on two tasks of split MNIST over λ and learning rate",
        {
            "scenario": {"name": "split-mnist", "tasks": 5, "keep": 2, "class_order": "fixed"},
            "model": {"name": "mlp", "widths": [100, 100]},
            "optimizer": {"name": "sgd", "momentum": 0.0},
            "batch_size": 32,
            "epochs": 1,
        },
        _cells(),
        claims=[
            Claim("explicit, η 0.1", "raw, λ 1000, η 0.1", "average_accuracy"),
            Claim("clamp, λ 1000, η 0.1", "raw, λ 1000, η 0.1", "average_accuracy"),
        ],
        seeds=1,
        minutes=6,
        differs="One seed a cell; the paper's map is of a CNN on CIFAR.",
        diagnostics=True,
        pictures=("map",),
    ),
)
