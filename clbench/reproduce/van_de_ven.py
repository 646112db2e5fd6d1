"""Split MNIST in three scenarios, after van de Ven, Tuytelaars and Tolias 2022 (doi:10.1038/s42256-022-00568-3).

Values read off a figure, but for the class-incremental ones of none, EWC, LwF, A-GEM and joint, which are in that
paper's table (mean ± standard error of 20: 19.89 ± .02, 20.64 ± .52, 21.89 ± .32, 65.10 ± 3.64, 98.17 ± .04). λ of EWC
and SI are not: they were chosen here on held-out training images with another seed
(results/reproduction/van-de-ven-domain/*.study.json), as that paper chose its own by a grid.
"""

from __future__ import annotations

from typing import Any

from clbench.reproduce.entry import Entry, Published

SOURCE = "van de Ven et al. 2022, doi:10.1038/s42256-022-00568-3"
TOLERANCE = 0.02
TOLERANCES = {"a-gem": 0.07}  # twice the published standard error
ARMS: dict[str, Any] = {
    "none": {"strategy": "naive"},
    "ewc": {"strategy": {"name": "ewc", "include_head": True}},
    "si": {"strategy": {"name": "si", "include_head": True}},
    # (1/t)·CE + (1 − 1/t)·KL, but for a factor that Adam does not see
    "lwf": {"strategy": {"name": "lwf", "temperature": 2.0, "mu": [0.0, 1.0, 2.0, 3.0, 4.0]}},
    "er": {"strategy": {"name": "er", "selection": "balanced", "per_class": 100}},
    "a-gem": {"strategy": {"name": "a-gem", "memory": 1000}},  # a hundred of each class, as er
    "joint": {"strategy": "joint"},
}
PUBLISHED = {
    "task": {"none": 0.84, "ewc": 0.99, "si": 0.99},
    "domain": {"none": 0.60, "ewc": 0.62, "si": 0.68, "lwf": 0.72, "er": 0.94, "joint": 0.985},
    "class": {
        "none": 0.1989,
        "ewc": 0.2064,
        "si": 0.22,
        "lwf": 0.2189,
        "er": 0.89,
        "a-gem": 0.6510,
        "joint": 0.9817,
    },
}
# Chosen on held-out images of the domain-incremental stream, and used in all three.
STRENGTHS = {"ewc": 1000.0, "si": 1000.0}


def _entry(kind: str) -> Entry:
    arms = {arm: dict(ARMS[arm]) for arm in PUBLISHED[kind]}
    for arm, lam in STRENGTHS.items():
        arms[arm]["strategy"] = arms[arm]["strategy"] | {"lam": lam}
    return Entry(
        f"van-de-ven-{kind}",
        SOURCE,
        f"split MNIST, {kind}-incremental",
        {
            "scenario": {
                "name": "split-mnist",
                "tasks": 5,
                "incremental": kind,
                "class_order": "random",
                "normalisation": "unit",
            },
            "model": {"name": "mlp", "widths": [400, 400]},
            "optimizer": {"name": "adam", "lr": 0.001, "reset": "never"},
            "batch_size": 128,
            "steps": 2000,
            "logits": "seen",
        },
        arms,
        published=[
            Published(arm, "average_accuracy", value, TOLERANCES.get(arm, TOLERANCE))
            for arm, value in PUBLISHED[kind].items()
        ],
        seeds=3,
        minutes=4.0 * len(arms),
        control="none",
        differs="Replay weighs old and new samples alike, theirs old ones by the number of earlier tasks; A-GEM's "
        "memory is one reservoir.",
    )


ENTRIES = tuple(_entry(kind) for kind in PUBLISHED)
