"""A run's final weights as a safetensors file: tensors by name, and in its header what they belong to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from clbench import store
from clbench.data.inputs import Encoder, Pixels


@dataclass(frozen=True)
class Finished:
    """A run that has ended: its Result, the network as it is then, and what makes its input."""

    result: store.Result
    model: nn.Module
    encode: Encoder


def weights_of(finished: Finished) -> bytes:
    """Return the file's content: every weight and statistic, ``backbone.…`` and ``classifier.…``, on the CPU.

    The header says, as text or JSON: run_id, model and its options, its input's shape, the kind of classifier, and
    of images by what they are multiplied (``scale``) and what is added (``shift``) to make network input of uint8.
    """
    from safetensors.torch import save

    # Copies, since tensors that share memory cannot be written: each name has its own.
    tensors = {name: _plain(value) for name, value in finished.model.state_dict().items() if isinstance(value, Tensor)}
    return save(tensors, metadata=_header(finished))


def _plain(value: Tensor) -> Tensor:
    return value.detach().cpu().clone().contiguous()


def _header(finished: Finished) -> dict[str, str]:
    result, encode = finished.result, finished.encode
    options = dict(result.config["model"])
    name = str(options.pop("name"))
    options.pop("classifier")
    said: dict[str, Any] = {"options": options, "shape": list(encode.shape)}
    if isinstance(encode, Pixels):
        said |= {"scale": encode.scale.flatten().tolist(), "shift": encode.shift.flatten().tolist()}
    return {
        "format": "pt",
        "run_id": result.run_id,
        "model": name,
        "classifier": result.model.classifier,
        **{key: json.dumps(value) for key, value in said.items()},
    }
