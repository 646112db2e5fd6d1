# %% [markdown]
# Rows with dates, and a network of one's own: what to do when next month's data arrive? Here what decides turns slowly,
# so that old rows mislead.

# %%
import numpy as np
import torch
from torch import nn

import clbench as cl

random = np.random.default_rng(0)
dates = np.arange("2023-01-01", "2024-01-01", np.timedelta64(2, "h"), dtype="datetime64[h]")
angle = np.linspace(0, np.pi, len(dates))
x = random.normal(size=(len(dates), 6)).astype(np.float32)
y = np.where(np.cos(angle) * x[:, 0] + np.sin(angle) * x[:, 1] > 0, "yes", "no")

# %% [markdown]
# A stream is data and how they are cut. Printed it says what a run on it would be.

# %%
stream = cl.stream(x, y, time=dates, every="month", name="turning")
print(stream)

# %% [markdown]
# A class is called anew for each seed. A network that ends in a linear layer fits: classifiers take that layer's place.


# %%
class Net(nn.Module):
    """Two layers."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.first = nn.Linear(6, width)
        self.last = nn.Linear(width, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.last(torch.relu(self.first(x)))
        return logits


# %% [markdown]
# Go on from the last month's weights, learn all months so far again, or go on with some old rows mixed in?

# %%
settings = {"epochs": 5, "batch_size": 32, "optimizer": {"lr": 0.01}}
results = [
    cl.run(name, stream, model=Net, seeds=3, config=settings, quiet=True) for name in ("naive", "cumulative", "er")
]

# %% [markdown]
# What counts for whoever uses a model is the month that comes: there the old rows do harm.

# %%
board = cl.compare(results, against="naive", metric="next_period_accuracy")
print(board)
going_on, all_so_far, mixed = (result.mean("next_period_accuracy") or 0 for result in results)
assert going_on > mixed > all_so_far
