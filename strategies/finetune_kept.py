"""Fine-tuning on what stays: forgetting that is left to itself."""

from __future__ import annotations

from clbench.registry import Count, strategy

from ._request import OnRequest


@strategy("finetune-kept", family="removal")
class FinetuneKept(OnRequest):
    """Fine-tune on what stays: go on training without the removed samples, and trust that they are forgotten.

    The first baseline of Golatkar et al. 2020 (arXiv:1911.04933): cheap, and what is removed fades only as
    far as the rest writes over it.
    epochs: for how many epochs over what stays.

    Cost: so many epochs for each request; nothing is kept.
    """

    def __init__(self, *, epochs: Count = 5) -> None:
        super().__init__()
        self.epochs_on_request = epochs
