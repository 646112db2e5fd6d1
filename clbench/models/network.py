"""A network: a backbone that makes features and a classifier on top, single, growing or multi-head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from clbench.avalanche import IncrementalClassifier, MultiTaskModule
from clbench.models.rows import Rows
from clbench.registry import Shape

Classifier = Literal["single", "growing", "multi"]
MASKED = -1e9  # the logit of a class that there is not; finite, so that no method meets 0 · inf


class Network(nn.Module):
    """``classifier(backbone(x))``; parameters of the classifier have names that begin with ``classifier``."""

    def __init__(self, backbone: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.classifier = classifier
        self.rows = Rows()

    def features(self, x: Tensor) -> Tensor:
        """Return features [n, features] of inputs; whoever trains on them counts."""
        self.rows.note(x)
        found: Tensor = self.backbone(x)
        return found

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [n, classes] of inputs [n, …]."""
        logits: Tensor = self.classifier(self.features(x))
        return logits


class MultiHeadNetwork(MultiTaskModule):
    """A network with one head per task; ``forward(x, task)`` takes one task for all samples, or one for each.

    ``heads``: how many, or the outputs of each. Logits have ``outputs`` columns; those that a smaller head lacks are
    MASKED, so that it never answers with a class that its task has not.
    """

    def __init__(self, backbone: nn.Module, features: int, outputs: int, heads: int | Sequence[int]) -> None:
        super().__init__()
        self.backbone = backbone
        self.outputs = outputs
        sizes = [outputs] * heads if isinstance(heads, int) else heads
        self.classifier = nn.ModuleList(nn.Linear(features, size) for size in sizes)
        self.rows = Rows()

    def features(self, x: Tensor) -> Tensor:
        """Return features [n, features] of inputs; whoever trains on them counts."""
        self.rows.note(x)
        found: Tensor = self.backbone(x)
        return found

    def forward(self, x: Tensor, task_labels: Tensor | int | None) -> Any:
        """Return logits [n, outputs] of each sample's own head; without task labels, those of every head by task.

        Heads that are not used get no gradient at all (rather than zeros), so that momentum and weight decay leave
        them alone. For mixed batches all heads are computed and gathered: nothing is asked of the device.
        """
        if task_labels is None:  # Avalanche's LwF asks so
            return self.forward_all_tasks(x)
        features = self.features(x)
        if isinstance(task_labels, int):
            return self._whole(self.classifier[task_labels](features))
        everything = torch.stack([self._whole(head(features)) for head in self.classifier], dim=1)
        chosen = task_labels.reshape(-1, 1, 1).expand(-1, 1, everything.shape[2])
        return everything.gather(1, chosen).squeeze(1)

    def _whole(self, logits: Tensor) -> Tensor:
        """A head's logits with columns for the classes that it has not."""
        missing = self.outputs - logits.shape[1]
        return functional.pad(logits, (0, missing), value=MASKED) if missing else logits

    def forward_single_task(self, x: Tensor, task_label: int) -> Tensor:
        """Return logits [n, outputs] of one head."""
        logits: Tensor = self.forward(x, task_label)
        return logits


def build(
    backbone: nn.Module,
    shape: Shape,
    classifier: Classifier,
    outputs: int,
    heads: int | Sequence[int],
    dtype: torch.dtype = torch.float32,
) -> Network | MultiHeadNetwork:
    """Put a classifier on a backbone whose input has the given shape.

    ``outputs``: of the one head, or of the largest. ``heads``: how many, or the outputs of each. ``dtype``: that of its
    input, int64 where that is codes.
    """
    was_training = backbone.training
    with torch.no_grad():
        features = backbone.eval()(torch.zeros(1, *shape, dtype=dtype)).shape[1]
    backbone.train(was_training)
    match classifier:
        case "multi":
            return MultiHeadNetwork(backbone, features, outputs, heads)
        case "growing":
            return Network(backbone, IncrementalClassifier(features, initial_out_features=1))
        case "single":
            return Network(backbone, nn.Linear(features, outputs))
