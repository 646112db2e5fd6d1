"""Rows of continual-learning-baselines, Avalanche's own (github.com/ContinualAI/continual-learning-baselines).

Each has one seed (0) and two decimals there. Each stands beside 'naive', since a row that fine-tuning reaches says
nothing about a method. Avalanche's penalties have no ½, except SI's: λ is doubled here where that is so.
"""

from __future__ import annotations

from clbench.reproduce.entry import Entry, Published

SOURCE = "continual-learning-baselines (Avalanche)"
TOLERANCE = 0.02
NAIVE = {"strategy": "naive"}
ADAM = {"name": "adam", "lr": 0.001, "reset": "never"}
SPLIT = {"name": "split-mnist", "tasks": 5, "class_order": "random"}
PERMUTED = {"name": "permuted-mnist", "tasks": 10}
MULTI_HEAD = {
    "scenario": SPLIT,
    "model": {"name": "mlp", "widths": [256, 256]},
    "optimizer": ADAM,
    "batch_size": 64,
    "epochs": 10,
}

ENTRIES = (
    Entry(
        "avalanche-si-split-mnist",
        SOURCE,
        "SI, split MNIST, task-incremental",
        MULTI_HEAD,
        {"si": {"strategy": {"name": "si", "lam": 1.0, "xi": 0.1, "include_head": True}}, "naive": NAIVE},
        published=[Published("si", "average_accuracy", 0.97, TOLERANCE)],
        minutes=6,
        control="naive",
        differs="Avalanche's SI also multiplies its importances with 0.0015 and cuts them at 0.001.",
    ),
    Entry(
        "avalanche-rwalk-split-mnist",
        SOURCE,
        "RWalk, split MNIST, task-incremental",
        MULTI_HEAD,
        {
            "rwalk": {
                "strategy": {
                    "name": "rwalk",
                    "lam": 0.2,
                    "rate": 0.9,
                    "interval": 10,
                    "epsilon": 1e-7,
                    "include_head": True,
                }
            },
            "naive": NAIVE,
        },
        published=[Published("rwalk", "average_accuracy", 0.99, TOLERANCE)],
        minutes=8,
        control="naive",
        differs="The Fisher is brought up to date every 10 steps here, in Avalanche at each.",
    ),
    Entry(
        "avalanche-lwf-split-mnist",
        SOURCE,
        "LwF, split MNIST, class-incremental",
        {
            "scenario": SPLIT | {"incremental": "class"},
            "model": {"name": "mlp", "widths": [200], "activation": "tanh", "classifier": "growing"},
            "optimizer": {"name": "sgd", "lr": 0.001, "reset": "never"},
            "batch_size": 128,
            "epochs": 21,
        },
        # α/τ²: the factor τ² is part of the loss here
        {
            "lwf": {
                "strategy": {"name": "lwf", "temperature": 2.0, "mu": [0.0, 0.125, 0.33325, 0.5625, 0.8]},
            },
            "naive": NAIVE,
        },
        published=[Published("lwf", "average_accuracy", 0.23, TOLERANCE)],
        minutes=8,
        control="naive",
    ),
    Entry(
        "avalanche-ewc-permuted-mnist",
        SOURCE,
        "EWC, permuted MNIST, 10 tasks",
        {
            "scenario": PERMUTED,
            "model": {"name": "mlp", "widths": [512]},
            "optimizer": {"name": "sgd", "lr": 0.001, "reset": "never"},
            "batch_size": 256,
            "epochs": 10,
        },
        {
            "ewc": {
                "strategy": {
                    "name": "ewc",
                    "lam": 2.0,
                    "fisher": "batched",
                    "fisher_samples": None,
                    "include_head": True,
                }
            },
            "naive": NAIVE,
        },
        published=[Published("ewc", "average_accuracy", 0.83, TOLERANCE)],
        seeds=1,
        minutes=8,
        control="naive",
    ),
    Entry(
        "avalanche-si-permuted-mnist",
        SOURCE,
        "SI, permuted MNIST, 10 tasks",
        {
            "scenario": PERMUTED,
            "model": {"name": "mlp", "widths": [1000]},
            "optimizer": ADAM,
            "batch_size": 256,
            "epochs": 10,
        },
        {"si": {"strategy": {"name": "si", "lam": 10.0, "xi": 0.1, "include_head": True}}, "naive": NAIVE},
        published=[Published("si", "average_accuracy", 0.83, TOLERANCE)],
        seeds=3,
        minutes=60,
        control="naive",
        differs="Avalanche's SI also multiplies its importances with 0.0015 and cuts them at 0.001.",
    ),
    Entry(
        "avalanche-replay-split-mnist",
        SOURCE,
        "Online replay, split MNIST, class-incremental",
        {
            "scenario": SPLIT | {"incremental": "class"},
            "model": {"name": "mlp", "widths": [400, 400]},
            "optimizer": {"name": "sgd", "lr": 0.1, "reset": "never"},
            "batch_size": 10,
            "epochs": 1,
        },
        {"er": {"strategy": {"name": "er", "memory": 1000, "selection": "balanced", "batch": 10}}, "naive": NAIVE},
        published=[Published("er", "average_accuracy", 0.92, TOLERANCE)],
        minutes=4,
        control="naive",
        differs="The network's size is not part of the published row; 2 × 400 here.",
    ),
)
