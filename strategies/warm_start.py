"""The two ways to start a stage, cold and warm, and resets in between."""

from __future__ import annotations

from typing import Any

from clbench.registry import Count, strategy
from clbench.strategy import Learner, Strategy

from ._between import BetweenStages
from ._layers import begin_anew, forget_optimizer, renew, weight_layers


@strategy("warm", family="plasticity", same_as="naive", role="control")
class Warm(Strategy):
    """Warm start: each stage goes on from the last one's weights and, if the run keeps it, optimiser state.

    Ash and Adams 2020 (arXiv:1910.08475), section 2. The same as 'naive', under its name where data only grow.

    Cost: none.
    """


@strategy("cold", family="plasticity", role="bound")
class Cold(BetweenStages):
    """Cold start: every weight is drawn anew before each stage, and the optimiser begins anew.

    Ash and Adams 2020 (arXiv:1910.08475), section 2: what a warm start is compared with. Where old data are taken away,
    it forgets everything.

    Cost: a new initialisation before each later stage; nothing each step.
    """

    method = "cold"

    def act(self, learner: Learner) -> None:
        """Begin anew."""
        begin_anew(learner)


@strategy("warm-reset-optimizer", family="plasticity", role="control")
class WarmResetOptimizer(Strategy):
    """Warm start of the weights; the optimiser's momentum and running moments begin anew at each stage.

    The control of Shin et al. 2024 (DASH, arXiv:2410.23495), section 5; resets alone help Adam on long streams
    (Dohare et al. 2024, arXiv:2306.13812). Nothing to do where the run resets the optimiser at each task.

    Cost: none.
    """

    forgot = False

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Forget the optimiser's state."""
        self.forgot |= bool(learner.optimizer.state)
        forget_optimizer(learner)

    def warnings(self) -> list[str]:
        """Say so if there never was a state to forget."""
        if self.forgot:
            return []
        return [
            "never fired: warm-reset-optimizer found no state of the optimiser to forget; it differs from 'warm' where "
            "there is momentum or Adam, and 'optimizer.reset' is never"
        ]


@strategy("reset-head", family="plasticity")
class ResetHead(BetweenStages):
    """Draw the classifier anew before each later stage; the features go on.

    Nikishin et al. 2022 (arXiv:2205.07802), the smallest of their resets. All heads are drawn anew.

    Cost: a new classifier before each later stage; nothing each step.
    """

    method = "reset-head"

    def act(self, learner: Learner) -> None:
        """Draw the classifier anew."""
        renew(learner, [learner.model.classifier], "reset of the head")  # type: ignore[list-item]


@strategy("reset-layers", family="plasticity")
class ResetLayers(BetweenStages):
    """Draw the last layers and the classifier anew before each later stage; earlier layers go on.

    Nikishin et al. 2022 (arXiv:2205.07802); Zhou et al. 2022 (arXiv:2202.00155), later-layer forgetting.
    layers: how many linear and convolutional layers before the classifier; all of them, if there are fewer.

    Cost: new layers before each later stage; nothing each step.
    """

    method = "reset-layers"

    def __init__(self, *, layers: Count = 1) -> None:
        super().__init__()
        self.layers = layers

    def act(self, learner: Learner) -> None:
        """Draw them anew."""
        last = weight_layers(learner.model, include_head=False)[-self.layers :]
        renew(learner, [*last, learner.model.classifier], "reset of layers")  # type: ignore[list-item]
