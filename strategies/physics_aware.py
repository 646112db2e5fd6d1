"""Physics-aware training: forward through a device, backward through its model."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from clbench.data.tensors import sent
from clbench.errors import UserError
from clbench.registry import Count, NonNegative, strategy
from clbench.strategy import Learner, Strategy

from ._layers import as_matrix, unknown_layers, weight_layers

Forward = Literal["device", "model"]


@strategy("physics-aware", family="regulariser")
class PhysicsAware(Strategy):
    """Physics-aware training: a simulated noisy, quantised device computes forward, the clean model backward.

    Wright et al. 2022 (arXiv:2104.13386), hardware in the loop. Every linear and convolutional layer runs on the
    device: inputs and weights are rounded to ``bits`` bits (weights by output, between ± their largest), and the output
    gets Gaussian noise of ``noise`` times its own spread. Gradients are the clean layer's at the inputs that the device
    has made. Evaluation runs on the device too; what measures the network (Fisher, diagnostics) sees the clean model.
    bits: of inputs and weights. noise: spread of the noise, as a share of the output's.
    forward: 'device' is the above; 'model' trains on the clean model and only evaluates on the device, the paper's
    in-silico control.

    Cost: every layer is computed a second time, on the device, in training and in evaluation; nothing is kept.
    """

    def __init__(self, *, bits: Count = 4, noise: NonNegative = 0.05, forward: Forward = "device") -> None:
        super().__init__()
        self.bits = bits
        self.noise = noise
        self.forward = forward
        self.running = False
        self.hooks: list[Any] = []
        self._training: torch.Generator | None = None

    def check(self, model: nn.Module) -> None:
        """Only networks whose every weight the device can hold."""
        if unknown := unknown_layers(model):
            raise UserError(
                f"strategy 'physics-aware' cannot put the weights of {unknown} on its device. Use a network of linear "
                "and convolutional layers: mlp, lenet, cnn6, resnet18 or slim-resnet18."
            )

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Put the layers on the device."""
        self._attach(learner, f"device noise of stage {learner.stage}")

    def after_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        """Take them off: what is kept of the stage is the clean model."""
        self._detach()

    def before_eval(self, learner: Learner, **kwargs: Any) -> None:
        """Put the layers, of which a growing classifier has new ones, on the device; a stage under way is put aside."""
        self._training = self.random if self.hooks else None
        self._attach(learner, f"device noise of evaluation {learner.stage}")

    def after_eval(self, learner: Learner, **kwargs: Any) -> None:
        """Take them off, unless a stage goes on."""
        if self._training is None:
            self._detach()
        else:
            self.random, self._training = self._training, None

    def pass_begins(self, learner: Learner) -> None:
        """Run on the device, but only for the batch."""
        self.running = self.forward == "device" or not learner.is_training

    def pass_ends(self, learner: Learner) -> None:
        """Back to the model."""
        self.running = False

    def _attach(self, learner: Learner, purpose: str) -> None:
        self._detach()
        self.random = learner.random(purpose)
        self.hooks = [layer.register_forward_hook(self._measured) for layer in weight_layers(learner.model)]

    def _detach(self) -> None:
        for hook in self.hooks:
            hook.remove()
        self.hooks = []

    def _measured(self, layer: nn.Module, inputs: tuple[Tensor, ...], clean: Tensor) -> Tensor | None:
        """The device's output with the clean one's gradient."""
        if not self.running:
            return None
        with torch.no_grad():
            device = self._device(layer, inputs[0])
            spread = device.std(correction=0) * self.noise
            device += sent(torch.randn(device.shape, generator=self.random), device.device).to(device) * spread
            difference = device - clean
        return clean + difference

    def _device(self, layer: nn.Module, x: Tensor) -> Tensor:
        x = quantised(x, x.abs().max(), self.bits)
        if isinstance(layer, nn.Conv2d):
            weight = self._held(layer.weight)
            return functional.conv2d(x, weight, layer.bias, layer.stride, layer.padding, layer.dilation, layer.groups)
        assert isinstance(layer, nn.Linear)
        return functional.linear(x, self._held(layer.weight), layer.bias)

    def _held(self, weight: Tensor) -> Tensor:
        rows = as_matrix(weight)
        return quantised(rows, rows.abs().amax(1, keepdim=True), self.bits).view_as(weight)


def quantised(values: Tensor, largest: Tensor, bits: int) -> Tensor:
    """Round to one of 2^bits − 1 evenly spaced values from −largest to largest (1 bit: to the sign)."""
    if bits == 1:
        return values.sign() * largest
    step = (largest / (2 ** (bits - 1) - 1)).clamp_min(torch.finfo(values.dtype).tiny)
    rounded: Tensor = (values / step).round_() * step
    return rounded
