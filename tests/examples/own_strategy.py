# %% [markdown]
# A method of one's own, tried before it has a file, a name and options in a catalogue.

# %%
import torch

import clbench as cl
from clbench.strategy import Learner, Strategy, gradients, named_weights, values

# %% [markdown]
# Hold every weight to where the last stage left it. A strategy overrides the callbacks that it needs; what the
# constructor is given is kept under the same names, so that each Result says what was run.


# %%
class Hold(Strategy):
    """Pull every weight back to its value after the last stage, with a force proportional to the distance."""

    def __init__(self, strength: float = 0.1) -> None:
        super().__init__()
        self.strength = strength
        self.anchor: list[torch.Tensor] = []

    def after_training_exp(self, learner: Learner, **kwargs: object) -> None:
        self.anchor = [weight.clone() for weight in values(list(named_weights(learner.model).values()))]

    def before_update(self, learner: Learner, **kwargs: object) -> None:
        weights = list(named_weights(learner.model).values())
        for gradient, weight, anchor in zip(gradients(weights), values(weights), self.anchor, strict=False):
            gradient.add_(weight - anchor, alpha=self.strength)


# %% [markdown]
# Each seed works on a copy: the object stays as it is. Two strengths are two methods.

# %%
weak, strong = Hold(strength=0.1), Hold(strength=1.0)
results = [cl.run(method, "split-domain-digits", seeds=3, quiet=True) for method in ("naive", weak, strong)]
assert weak.anchor == []

# %%
board = cl.compare(results, against="naive")
print(board)

# %%
print(results[1].to_frame()[["strategy", "strategy.strength", "seed", "average_accuracy"]])
