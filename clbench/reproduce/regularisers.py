"""What the authors of training-time regularisers claim of small networks on MNIST."""

from __future__ import annotations

from clbench.reproduce.entry import Claim, Entry

LIKENESS = "first layer like inputs"
MNIST = {
    "scenario": {"name": "split-mnist", "tasks": 1, "class_order": "fixed", "samples_per_task": 10_000},
    "optimizer": {"name": "adam", "lr": 0.001},
    "batch_size": 128,
}

ENTRIES = (
    Entry(
        "jumpstart-thin-deep",
        "Riera et al. 2022, arXiv:2201.12795",
        "MNIST, 40 layers of 16 units",
        MNIST | {"model": {"name": "mlp", "widths": [16] * 40}, "epochs": 20},
        {"naive": {"strategy": "naive"}, "jumpstart": {"strategy": {"name": "jumpstart", "lam": 0.1}}},
        claims=[Claim("jumpstart", "naive", "average_accuracy")],
        minutes=7,
        differs="10,000 images; the paper's networks are of other sizes.",
    ),
    Entry(
        "racecar-two-digits",
        "Xie and Thuerey 2020, arXiv:2007.00024",
        "MNIST's 0 and 1, MLP 256-256",
        {
            "scenario": {"name": "split-mnist", "tasks": 5, "class_order": "fixed", "keep": 1},
            "model": {"name": "mlp", "widths": [256, 256]},
            "epochs": 3,
        },
        {
            "naive": {"strategy": "naive"},
            "orthogonal": {"strategy": {"name": "orthogonal", "lam": 1e-4}},
            "racecar": {"strategy": {"name": "racecar", "lam": 1.0}},
        },
        claims=[Claim("racecar", other, LIKENESS) for other in ("naive", "orthogonal")],
        minutes=1.5,
        differs="Likeness is a cosine; the paper looks at pictures and at LPIPS.",
        diagnostics=True,
        pictures=("backwards",),
    ),
    Entry(
        "physics-aware-mnist",
        "Wright et al. 2022, arXiv:2104.13386",
        "MNIST on a device of 2 bits",
        MNIST | {"model": {"name": "mlp", "widths": [100, 100]}, "epochs": 3},
        {
            "device": {"strategy": {"name": "physics-aware", "bits": 2}},
            "in silico": {"strategy": {"name": "physics-aware", "bits": 2, "forward": "model"}},
        },
        claims=[Claim("device", "in silico", "average_accuracy")],
        minutes=0.5,
        differs="A simulated device; theirs are real ones.",
    ),
)
