"""Networks as objects: one for each seed, known by class, content and source; the caller's own stays as it is."""

from __future__ import annotations

import copy
import linecache
import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import clbench as cl
from clbench import registry
from clbench.api.networks import lent
from clbench.api.source_text import UNKNOWN, code_of
from clbench.errors import Remark

pytestmark = pytest.mark.filterwarnings("ignore::clbench.errors.Remark")
SMALL: dict[str, Any] = {"scenario": {"name": "split-digits", "samples_per_task": 48}, "epochs": 1, "quiet": True}
WIDTHS = [5]


class Calls:
    """How often small_net was called."""

    count = 0


class Net(nn.Module):
    """Two layers, with statistics."""

    def __init__(self, width: int = 6, *, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        self.first = nn.Linear(64, width)
        self.norm = nn.BatchNorm1d(width)
        self.last = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.last(torch.relu(self.norm(self.first(self.scale * x.flatten(1)))))
        return found


def small_net() -> Net:
    Calls.count += 1
    return Net(5)


def listed_net() -> Net:
    return Net(*WIDTHS)


def test_each_seed_begins_with_a_modules_weights_and_it_stays_as_it_is() -> None:
    torch.manual_seed(5)
    module = Net().eval()
    seen: list[torch.Size] = []
    module.first.register_forward_pre_hook(
        lambda own, inputs: seen.append(inputs[0].shape) if own is module.first else None
    )
    before = copy.deepcopy(module.state_dict())
    with pytest.warns(Remark, match="Net: classifiers replace its layer 'last'; 6 features"):
        made = cl.run("naive", model=module, seeds=2, **SMALL)
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert not module.training
    assert module.last.out_features == 10
    assert not seen, "only copies are called"
    assert made[0].config["model"].keys() == {"name", "classifier", "state"}
    assert made[0].config["model"]["name"] == "Net"
    code = made[0].code["model Net"]
    assert (code.source, code.version) == (Path(__file__).name, 1)
    assert made[0].config["model"] == made[1].config["model"], "seeds of one network"
    assert made[0].accuracy != made[1].accuracy
    assert cl.run("naive", model=module, **SMALL)[0].accuracy == made[0].accuracy
    assert "Net" not in registry.model, "known only while it is run"


def test_a_modules_weights_are_those_that_a_run_begins_with() -> None:
    torch.manual_seed(5)
    first, second = (lent(Net()).make() for _ in range(2))
    module = Net()
    unit = lent(module)
    one, other = unit.make(), unit.make()
    assert torch.equal(one.first.weight, module.first.weight)
    assert one.first.weight.data_ptr() != other.first.weight.data_ptr() != module.first.weight.data_ptr()
    assert not torch.equal(first.first.weight, second.first.weight)


def test_modules_are_told_apart_by_weights_structure_and_attributes() -> None:
    torch.manual_seed(5)
    module = Net()
    other, scaled, moved, trained = (copy.deepcopy(module) for _ in range(4))
    scaled.scale = 2.0
    other.norm.running_mean[0] = 1.0  # type: ignore[index]
    with torch.no_grad():
        moved.first.weight[0, 0] += 1
    states = [lent(one).options["state"] for one in (module, other, scaled, moved, Net(7))]
    assert len(set(states)) == 5
    assert lent(trained.eval()).options["state"] == states[0], "the mode is set by the run"


def test_a_class_and_a_function_are_called_anew_for_each_seed_after_seeding() -> None:
    made = cl.run("naive", model=Net, seeds=2, **SMALL)
    assert made[0].config["model"] == {"name": "Net", "classifier": "auto", "width": 6, "scale": 1.0}
    assert cl.run("naive", model=Net, **SMALL)[0].accuracy == made[0].accuracy
    wider = cl.run("naive", model=Net, config={"model": {"width": 9}}, **SMALL)[0]
    assert (wider.config["model"]["width"], wider.model.parameters > made[0].model.parameters) == (9, True)
    Calls.count = 0
    functions = cl.run("naive", model=small_net, seeds=2, **SMALL)
    assert Calls.count == 2
    assert functions[0].config["model"] == {"name": "small_net", "classifier": "auto"}
    assert functions[0].accuracy == cl.run("naive", model=partial(Net, width=5), **SMALL)[0].accuracy


def test_a_class_equals_its_file_bit_for_bit(tmp_path: Path) -> None:
    file = tmp_path / "own_net.py"
    file.write_text(Path(__file__).read_text())
    named = cl.run("naive", model=f"{file}:Net", **SMALL)[0]
    made = cl.run("naive", model=Net, **SMALL)[0]
    assert named.accuracy == made.accuracy
    assert named.code[f"model {file}:Net"].sha256 == made.code["model Net"].sha256


def test_functions_of_one_text_are_told_apart_by_what_they_hold() -> None:
    def of(width: int) -> Any:
        return lambda: Net(width)

    states = [lent(of(width)).options["state"] for width in (3, 3, 4)]
    assert states[0] == states[1] != states[2]
    assert lent(of(3)).name == "lambda"
    assert lent(partial(Net, 3)).options != lent(partial(Net, 4)).options
    assert not lent(small_net).options
    assert lent(listed_net).options, "a list beside it may change"


def test_modules_of_torch_are_known_by_the_code_within() -> None:
    own = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))
    assert lent(own).code is None
    code = lent(nn.Sequential(Net())).code
    assert code is not None
    assert code.source == Path(__file__).name
    assert cl.run("ewc", model=own, **SMALL)[0].status == "ok"


def test_one_that_is_called_like_clbenchs_has_its_module_before_it() -> None:
    class mlp(Net):  # noqa: N801  as people call theirs
        """Called like clbench's."""

    assert lent(mlp).name == f"{__name__}.mlp"
    assert cl.run("naive", model=mlp, **SMALL)[0].config["model"]["name"] == f"{__name__}.mlp"


def test_a_networks_text_in_a_notebook_is_that_of_all_that_it_names() -> None:
    notebook = ModuleType("notebook_of_networks")
    sys.modules[notebook.__name__] = notebook

    def cell(number: int, text: str) -> None:
        name = f"<cell {number} of networks>"
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        exec(compile(text, name, "exec", dont_inherit=True), vars(notebook))

    try:
        cell(1, "class Block:\n    def go(self):\n        return 1\n")
        cell(2, "class Big:\n    def __init__(self):\n        self.block = Block()\n")
        cell(3, "def make():\n    return Big()\n")
        first = code_of(vars(notebook)["make"])
        cell(4, "class Block:\n    def go(self):\n        return 2\n")
        second = code_of(vars(notebook)["make"])
    finally:
        del sys.modules[notebook.__name__]
    assert first is not None
    assert second is not None
    assert UNKNOWN != first.source == second.source
    assert first.sha256 != second.sha256


class Closed(Net):
    """Holds what cannot be copied."""

    def __deepcopy__(self, memo: object) -> Any:
        raise TypeError("not me")


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        (5, r"model: expected a name.* got an object of type int"),
        (int, r"model: expected a name.* got int"),
        (Closed(), r"model: the Closed cannot be copied \(TypeError: not me\).*Give its class"),
        (lambda: 5, r"model: 'lambda' makes a int; it must make a torch.nn.Module"),
        (lambda: Net(-1), r"model 'lambda' cannot be made"),
        (nn.ReLU(), r"the network 'ReLU' returns \[2, 1, 8, 8\]"),
    ],
)
def test_what_is_no_network_is_told(thing: Any, words: str) -> None:
    with pytest.raises(cl.UserError, match=words):
        cl.run("naive", model=thing, **SMALL)


def test_a_unit_of_the_catalogue_is_given_by_name() -> None:
    registry.model.load("mlp")
    with pytest.raises(cl.UserError, match="model='mlp'"):
        cl.run("naive", model=registry.model.load("mlp").make, **SMALL)
    with pytest.raises(cl.UserError, match="width"):
        cl.run("naive", model=Net(), config={"model": {"width": 5}}, **SMALL)
