"""What a checkpoint is made of: the state of objects, written and put back."""

from __future__ import annotations

import json
import os
import random
from collections import OrderedDict, defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from clbench.checkpoints.restore import restore
from clbench.checkpoints.state import Known, StateError, Tree, capture

HERE = (__name__.partition(".")[0],)


@dataclass
class Box:
    """Anything."""

    content: Any = None
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Sealed:
    """Something that does not want to be changed."""

    value: Any


class Slotted:
    __slots__ = ("left", "right")

    def __init__(self, left: Any, right: Any) -> None:
        self.left, self.right = left, right


def known(**tensors: Tensor) -> Known:
    return Known({}, tensors, HERE)


def through_a_file(tree: Tree) -> Tree:
    """As JSON and copied memory, as a file would have it."""
    root, nodes = json.loads(json.dumps([tree.root, tree.nodes], allow_nan=False))
    return Tree(root, nodes, {name: tensor.clone() for name, tensor in tree.memory.items()})


def again(value: Any, live: Any = None, **tensors: Tensor) -> Any:
    """A value, written and put back into a live one."""
    tree = through_a_file(capture(Box(value), known(**tensors)))
    box = Box(live)
    restore(tree, box, known(**tensors))
    return box.content


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_subnormal=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner, inner),
    max_leaves=10,
)


@settings(deadline=None)
@given(plain, plain)
def test_plain_values_come_back_whatever_was_there(value: Any, live: Any) -> None:
    assert again(value, live) == value


def test_containers_keep_their_kind() -> None:
    value = [OrderedDict(b=1, a=2), deque([1, 2]), {3, 4}, (5,), float("inf"), torch.Size([2]), torch.float64]
    found = again(value)
    assert found == value
    assert [type(one) for one in found] == [type(one) for one in value]
    counted = again(defaultdict(list, a=[1]))
    assert counted["b"] == []
    assert str(again(float("nan"))) == "nan"


def test_arrays_and_generators_go_on() -> None:
    array = np.arange(6, dtype=np.uint16).reshape(2, 3)
    np.testing.assert_array_equal(again(array), array)
    assert again(np.float32(1.5)) == np.float32(1.5)
    generator, chance = torch.Generator().manual_seed(3), random.Random(4)
    torch.rand(5, generator=generator)
    chance.random()
    one, other = again([generator, chance])
    assert torch.equal(torch.rand(3, generator=one), torch.rand(3, generator=generator))
    assert other.random() == chance.random()


def test_one_object_stays_one_and_circles_close() -> None:
    box = Box()
    box.content = [box, box.more]
    found = again(box)
    assert found.content[0] is found
    assert found.content[1] is found.more
    inside = Sealed([1])
    found = again([inside, inside])
    assert found[0] is found[1]
    assert found[0].value == [1]
    slotted = again(Slotted(1, torch.ones(2)))
    assert slotted.left == 1
    assert torch.equal(slotted.right, torch.ones(2))


def test_tensors_share_memory_as_before() -> None:
    whole = torch.arange(6.0)
    found = again([whole, whole[2:4], whole.view(2, 3).T])
    found[1][0] = -1.0
    assert found[0].tolist() == [0, 1, -1, 3, 4, 5]
    assert found[2][2, 0] == -1.0
    apart = again([torch.ones(2), torch.ones(2)], live=[shared := torch.zeros(2), shared])
    apart[0][0] = 7.0
    assert apart[1].tolist() == [1, 1], "what was shared by chance in the live object is apart again"


def test_live_tensors_are_written_into() -> None:
    """Whoever else holds the tensor – an optimiser, a hook – sees the new values."""
    live = torch.zeros(3)
    held = live.view(3)
    assert again(torch.ones(3), live=live) is live
    assert held.tolist() == [1, 1, 1]
    weight = nn.Parameter(torch.zeros(3))
    assert again(nn.Parameter(torch.ones(3)), live=weight) is weight
    grown = again(nn.Parameter(torch.ones(4)), live=weight)
    assert isinstance(grown, nn.Parameter)
    assert grown.requires_grad


def test_known_memory_is_not_written() -> None:
    data = torch.arange(1000)
    tree = capture(Box(data[10:20]), known(data=data))
    assert tree.memory == {}
    assert again(data[10:20], data=data).data_ptr() == data[10:20].data_ptr()


def test_modules_are_made_without_being_called() -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.ReLU()).eval().requires_grad_(False)
    found = again(module)
    x = torch.rand(4, 2)
    assert torch.equal(found(x), module(x))
    assert not found.training
    assert not any(p.requires_grad for p in found.parameters())


def test_optimisers_keep_their_state_by_parameter() -> None:
    def made() -> tuple[nn.Linear, torch.optim.Optimizer]:
        torch.manual_seed(0)
        layer = nn.Linear(2, 2)
        return layer, torch.optim.Adam(layer.parameters(), 0.1)

    def step(layer: nn.Linear, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        layer(torch.ones(1, 2)).sum().backward()
        optimizer.step()

    one, other = made(), made()
    step(*one)
    one[1].param_groups[0]["lr"] = 0.3
    restore(through_a_file(capture(Box(list(one)), known())), Box(list(other)), known())
    step(*one)
    step(*other)
    assert torch.equal(one[0].weight, other[0].weight)


def test_functions_stay_those_of_the_program() -> None:
    assert again(len, live=max) is max
    with pytest.raises(StateError, match="no file can hold"):
        again(len)


class Bystander:
    """Of no package that may be written."""


def test_what_cannot_be_written_is_named() -> None:
    with pytest.raises(StateError, match=r"state\['a'\]\[0\] is a tests\.test_state\.Bystander"):
        capture({"a": [Bystander()]}, Known({}, {}))
    with pytest.raises(StateError, match="another type"):
        capture(Box([(x := torch.zeros(4)), x.view(torch.int32)]), known())


@pytest.mark.parametrize(
    "name",
    ["os:system", "builtins:eval", "subprocess:Popen", "torch.nn:Nothing", "torch:load", "clbench.store.files:Path"],
)
def test_a_file_cannot_name_what_is_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only classes of a few packages are made, and none is called."""
    monkeypatch.setattr(os, "system", lambda _: pytest.fail("it was run"))
    tree = capture(Box(Sealed("echo")), known())
    (node,) = (one for one in tree.nodes if one.get("class", "").endswith("Sealed"))
    node["class"] = name
    with pytest.raises(StateError, match="no class that a checkpoint may have"):
        restore(tree, Box(), known())
