"""Runs on PyTorch's ``meta`` device: tensors without values, so that what a GPU would have to wait for cannot be done.

``Watch`` looks at every operation of a run. Whoever mixes tensors of two devices, or uses random numbers of one device
on another, is stopped at once; so is, inside a training step, whoever reads a value, has the shape of a result depend
on values, or copies to the device otherwise than by ``sent``. Between steps a read is answered with ones, for there is
nothing else to say, and its place is noted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from clbench.engine.learner import ResidentLearner
from clbench.engine.seeding import generator

META = torch.device("meta")
SENT = "data.tensors.sent"  # copies to the device without a wait
aten = torch.ops.aten


class FaultOnDeviceError(AssertionError):
    """Something that fails on a GPU, or makes it wait."""


class Watch(TorchDispatchMode):
    """Stops or notes what a run asks of a device; ``read`` has the places that read values between steps."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.in_step = False
        self.epochs = 0
        self.read: set[str] = set()
        self.generators: set[int] = set()  # seeds of those of the device; meta has none of its own

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Look at one operation."""
        kwargs, operation = kwargs or {}, func.overloadpacket
        leaves = tree_leaves((args, kwargs))
        tensors = [one for one in leaves if isinstance(one, Tensor)]
        there = [one for one in tensors if one.device == META]
        if there and operation in ANSWERS:
            self._reads(operation)
            return ANSWERS[operation](*args, **kwargs)
        if operation in (aten._to_copy, aten.copy_):
            return self._copied(func, args, kwargs)
        if there and any(one.dim() for one in tensors if one.device != META):
            self.stop(f"mixes devices in {operation}")
        if there and operation in (aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_):
            args = self._indexed(operation, args)
        found = func(*args, **kwargs)
        self._check_random(leaves, found)
        return found

    def _reads(self, operation: Any) -> None:
        if self.in_step and place() not in IN_STEPS:
            self.stop(f"reads a value in a step, by {operation}")
        self.read.add(place())

    def stop(self, what: str) -> None:
        """Say who it was."""
        raise FaultOnDeviceError(f"{place()} {what}")

    def _copied(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A copy within a device, to it, or from it."""
        if func.overloadpacket is aten.copy_:
            target, source = args[0].device, args[1].device
        else:
            source = args[0].device
            target = torch.device(kwargs.get("device") or source)
        if source == META != target:
            self._reads(func.overloadpacket)
            return (
                args[0] if func.overloadpacket is aten.copy_ else torch.ones(args[0].shape, dtype=_type(args, kwargs))
            )
        sized = args[1 if func.overloadpacket is aten.copy_ else 0].dim()
        if self.in_step and source != target and sized and place() != SENT:
            self.stop("copies to the device in a step, where it waits; 'sent' does not")
        return func(*args, **kwargs)

    def _indexed(self, operation: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Read by a mask, whose places the host has to count, as if all of it were true."""
        masks = [index for index in args[1] if index is not None and index.dtype in (torch.bool, torch.uint8)]
        if not masks:
            return args
        self._reads(operation)
        indices: list[Tensor | None] = []
        for index in args[1]:
            masked = index is not None and index.dtype in (torch.bool, torch.uint8)
            indices += list(_all_true(index).unbind(1)) if masked else [index]
        return (args[0], indices, *args[2:])

    def _check_random(self, leaves: list[Any], found: Any) -> None:
        for own in (one for one in leaves if isinstance(one, torch.Generator)):
            on_device = own.initial_seed() in self.generators
            if any((one.device == META) != on_device for one in tree_leaves(found) if isinstance(one, Tensor)):
                self.stop("draws with a generator of another device")


class HostNumbers(TorchFunctionMode):
    """Stops who puts numbers of the host on the device in a step: below this no operation shows it."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self.watch = watch

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Look at one call."""
        found = func(*args, **kwargs or {})
        if self.watch.in_step and func in MAKES and found.device == META and not isinstance(args[-1], Tensor):
            self.watch.stop("makes a tensor of the host's numbers on the device in a step")
        if self.watch.in_step and func in INDEXES and args[0].device == META:
            indices = args[1] if isinstance(args[1], tuple) else (args[1],)
            if any(isinstance(index, list) for index in indices):
                self.watch.stop("indexes by a list in a step, which the device must get first")
        return found


def place() -> str:
    """Module and function of ours, or of a test, that is at work: 'strategies.ewc.after_update'."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        module, name = str(frame.f_globals.get("__name__")), frame.f_code.co_name
        if module.startswith(("clbench.", "tests.test_")) and not name.startswith("<"):
            return f"{module.removeprefix('clbench.')}.{name}"
        frame = frame.f_back
    return "unknown"


MAKES = (torch.tensor, torch.as_tensor, Tensor.new_tensor)
INDEXES = (Tensor.__getitem__, Tensor.__setitem__)
# Evaluation inside of stages waits by its nature.
IN_STEPS = ("engine.within.after_training_iteration",)


def _type(args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.dtype:
    found: torch.dtype = kwargs.get("dtype") or args[0].dtype
    return found


def _number(x: Tensor) -> bool | int | float:
    return torch.ones((), dtype=x.dtype).item()


def _all_true(x: Tensor) -> Tensor:
    return torch.zeros(x.numel(), x.dim(), dtype=torch.int64, device=META)


def _all_apart(x: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor, Tensor]:
    found = x.flatten()[:2].clone()  # loops over them are short
    places = torch.zeros(x.shape, dtype=torch.int64, device=META)
    return found, places, torch.ones_like(found, dtype=torch.int64)


def _counted(x: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    return torch.ones(max(minlength, 2), dtype=torch.int64, device=META)


# What the host must read, and what it is told: all numbers are 1, all is true, and of what may differ there are two.
ANSWERS: dict[Any, Callable[..., Any]] = {
    aten._local_scalar_dense: _number,
    aten.equal: lambda *tensors: True,
    aten.nonzero: _all_true,
    aten.masked_select: lambda x, mask: x.flatten().clone(),
    aten._unique2: _all_apart,
    aten.unique_consecutive: _all_apart,
    aten.bincount: _counted,
    aten.repeat_interleave: lambda repeats, output_size=None: repeats.clone(),
}


@contextmanager
def on_meta(patch: pytest.MonkeyPatch) -> Iterator[Watch]:
    """Let runs choose the meta device for a while, and watch them; a step is whatever lies in an epoch of training."""
    watch = Watch()
    epoch, evaluate = ResidentLearner.training_epoch, ResidentLearner.eval

    def watched(self: ResidentLearner, **kwargs: Any) -> None:
        watch.in_step, watch.epochs = True, watch.epochs + 1
        epoch(self, **kwargs)
        watch.in_step = False

    def evaluated(self: ResidentLearner, *args: Any, **kwargs: Any) -> Any:
        inside, watch.in_step = watch.in_step, False
        found = evaluate(self, *args, **kwargs)
        watch.in_step = inside
        return found

    def of_device(seed: int, purpose: str, device: torch.device | str = "cpu") -> torch.Generator:
        made = generator(seed, purpose)
        watch.generators |= {made.initial_seed()} if torch.device(device) == META else set()
        return made

    patch.setattr(ResidentLearner, "training_epoch", watched)
    patch.setattr(ResidentLearner, "eval", evaluated)
    patch.setattr("clbench.engine.learner.generator", of_device)
    patch.setattr("clbench.engine.assemble.choose_device", lambda name: META)
    with watch, HostNumbers(watch):
        yield watch
