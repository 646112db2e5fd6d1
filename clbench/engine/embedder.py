"""A network that makes vectors of images: anybody's, with its last linear layer or a named one as the place to look."""

from __future__ import annotations

import hashlib
import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clbench import registry
from clbench.data.dataset import Dataset, Shape
from clbench.engine.pretrain import weights_in
from clbench.errors import Remark, UserError, did_you_mean, in_words
from clbench.models.adapt import adapt, as_before, samples
from clbench.registry import foreign

TORCHVISION = "torchvision.models."


@dataclass(frozen=True)
class Wanted:
    """A network as it is asked for: ``model`` is a config's section; weights of a file, or those its package fetches.

    layer: whose output to take (default: what goes into the last linear layer). image_size: in pixels (default: what
    learnt weights were made for, else that of the images).
    """

    model: Mapping[str, Any]
    weights: Path | None = None
    pretrained: bool = False
    layer: str | None = None
    image_size: int | None = None
    offline: bool = False


@dataclass(frozen=True)
class Embedder:
    """Makes features [n, d] of uint8 images [n, channels, height, width]. ``about``: what it is, as plain data.

    Images get the network's channels and size (bilinear, antialiased), then (x / 255 − mean) / std.
    """

    module: Callable[[Tensor], Tensor]
    shape: Shape
    mean: Tensor
    std: Tensor
    about: dict[str, Any]

    def __call__(self, images: Tensor) -> Tensor:
        """Return float32 features."""
        x = images.to(torch.float32).div_(255)
        if x.shape[1] != self.shape[0]:
            x = x.expand(-1, self.shape[0], -1, -1)
        if x.shape[2:] != self.shape[1:]:
            x = nn.functional.interpolate(x, self.shape[1:], mode="bilinear", antialias=True)
        with torch.no_grad():
            return self.module((x - self.mean) / self.std).float()


def embedder(data: Dataset, wanted: Wanted, device: torch.device) -> Embedder:
    """Make the network and find where its features are; weights that are not given are drawn with seed 0.

    Raises UserError for a network that cannot be made or takes no such images, weights that do not fit, no such layer.
    """
    options = dict(wanted.model)
    name = str(options.pop("name"))
    declared = registry.model.load(name)
    torch.manual_seed(0)  # behind the import, which may draw
    network = _made(declared, data.shape, options, wanted)
    published = _published(name, network) if wanted.weights or wanted.pretrained else None
    shape = _shape(network, data.shape, wanted.image_size or (published or {}).get("size"))
    if declared.foreign is None and shape != data.shape:  # one of ours is built for a shape
        torch.manual_seed(0)
        network = _made(declared, shape, options, wanted)
    module, layer = _cut(network, name, shape, wanted.layer, declared.foreign is not None)
    if wanted.weights is not None:
        _load(module, weights_in(wanted.weights, "--weights"), wanted.weights, layer)
    elif not wanted.pretrained:
        warnings.warn(
            Remark(
                f"{name} is as its constructor makes it, without --weights or --pretrained: unless it loads weights "
                "itself, they are drawn by chance, and so are its features."
            ),
            stacklevel=2,
        )
    module.eval().requires_grad_(False).to(device)
    mean, std = (published["mean"], published["std"]) if published else (data.mean, data.std)
    at = wanted.layer or layer
    source = str(wanted.weights) if wanted.weights else "pretrained" if wanted.pretrained else "as constructed, seed 0"
    about = {
        "network": name,
        "options": options,
        "weights": source,
        "weights_sha256": _digest(module),
        "layer": at if wanted.layer or at is None else f"before {at or 'the only layer'}",
        "input": list(shape),
        "mean": list(mean),
        "std": list(std),
    }
    place = (1, -1, 1, 1)
    scale = [torch.tensor(one, dtype=torch.float32, device=device).reshape(place) for one in (mean, std)]
    pooled = _Layer(module, wanted.layer) if wanted.layer else module
    return Embedder(pooled, shape, scale[0], scale[1], about)


def _made(declared: registry.Declared, shape: Shape, options: dict[str, Any], wanted: Wanted) -> nn.Module:
    if declared.foreign is None:
        if wanted.pretrained:
            raise UserError(f"--pretrained: '{declared.name}' has no weights to fetch. Give some with --weights FILE.")
        ours: nn.Module = declared.make(shape, **options)
        return ours
    if wanted.pretrained:
        known = inspect.signature(declared.foreign.signature).parameters
        key = next((key for key in ("pretrained", "weights") if key in known), None)
        if key is None:
            raise UserError(
                f"--pretrained: '{declared.name}' has no option 'weights' or 'pretrained'. Give weights with --weights "
                "FILE.safetensors, or load them in its constructor."
            )
        options[key] = options.get(key) or (True if key == "pretrained" else "DEFAULT")
    made = foreign.made(declared.foreign, shape, options, wanted.offline)
    if not isinstance(made, nn.Module):
        raise UserError(f"model: '{declared.name}' makes a {type(made).__name__}; it must make a torch.nn.Module.")
    return made


def _published(name: str, network: nn.Module) -> dict[str, Any] | None:
    """Size, mean and deviation that a package's learnt weights were made for; None if it does not say."""
    found = getattr(network, "pretrained_cfg", None)  # timm's
    if found:
        return {"size": found["input_size"][-1], "mean": list(found["mean"]), "std": list(found["std"])}
    if name.startswith(TORCHVISION):
        from torchvision.models import get_model_weights

        try:
            known: Any = get_model_weights(name.rpartition(".")[2])
        except ValueError:
            return None
        given = known.DEFAULT.transforms()
        return {"size": given.crop_size[0], "mean": list(given.mean), "std": list(given.std)}
    return None


def _shape(network: nn.Module, images: Shape, size: int | None) -> Shape:
    """What the network is given: grey images three times over if it begins with a convolution of three channels."""
    first = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
    channels = first.in_channels if first is not None and images[0] == 1 else images[0]
    return (channels, size, size) if size else (channels, *images[1:])


def _cut(
    network: nn.Module, name: str, shape: Shape, layer: str | None, classifies: bool
) -> tuple[nn.Module, str | None]:
    """The network up to its features, and the name of the layer that was its classifier, if it had one."""
    if layer is not None:
        names = [known for known, _ in network.named_modules() if known]
        if layer not in names:
            raise UserError(
                f"--layer: '{name}' has no layer '{layer}'.{did_you_mean(layer, names)} Its last are "
                f"{', '.join(names[-6:])}."
            )
        _try(network, name, shape)
        return network, None
    if classifies:
        found = adapt(network, name, shape)
        return found.backbone, found.layer
    _try(network, name, shape)
    return network, None


def _try(network: nn.Module, name: str, shape: Shape) -> None:
    try:
        with torch.no_grad(), as_before(network):
            network.eval()(samples(shape, torch.float32))
    except Exception as error:
        raise UserError(
            f"model: the network '{name}' cannot be called with images {list(shape)}: {in_words(error)}. Give others "
            "with --image-size, or options with --set model.…=…"
        ) from None


class _Layer:
    """A network's named layer: its output, with height and width, or the places of a sequence, averaged."""

    def __init__(self, network: nn.Module, layer: str) -> None:
        self.network, self.layer = network, layer
        self.seen: list[Any] = []
        network.get_submodule(layer).register_forward_hook(lambda module, given, output: self.seen.append(output))

    def __call__(self, x: Tensor) -> Tensor:
        """Return [n, d]."""
        self.seen.clear()
        self.network(x)
        output = self.seen[-1] if self.seen else None
        if not isinstance(output, Tensor) or output.dim() < 2 or len(output) != len(x):
            raise UserError(
                f"--layer: what '{self.layer}' returns is no tensor [n, …] of features. Name another layer."
            )
        return output.mean((2, 3)) if output.dim() == 4 else output.mean(1) if output.dim() == 3 else output.flatten(1)


def _load(module: nn.Module, weights: Mapping[str, Tensor], file: Path, classifier: str | None) -> None:
    """Give a network weights of a file; those of a classifier that is gone are left out."""
    kept = {key: value for key, value in weights.items() if not (classifier and key.startswith(f"{classifier}."))}
    own = module.state_dict()
    wrong = [key for key in own if key not in kept] + [key for key in kept if key not in own]
    wrong += [key for key in own if key in kept and own[key].shape != kept[key].shape]
    if wrong:
        raise UserError(
            f"--weights: {file} does not fit the network: '{wrong[0]}' is missing, unknown or of another shape"
            + (f", and {len(wrong) - 1} more" if wrong[1:] else "")
            + ". Give weights of this network with these options (--set model.…=…)."
        )
    module.load_state_dict(kept)


def _digest(module: nn.Module) -> str:
    """sha256 over names and values of weights and statistics."""
    digest = hashlib.sha256()
    for key, value in sorted(module.state_dict().items()):
        digest.update(key.encode() + value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
