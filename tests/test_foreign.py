"""Anybody's networks: found by name, adapted by looking, trained like clbench's own, refused in one paragraph."""

from __future__ import annotations

import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from clbench import registry
from clbench.config import resolve
from clbench.data.sources import DataPlace
from clbench.engine.run import Machine, finished, run
from clbench.errors import Remark, UserError
from clbench.models.adapt import adapt
from clbench.registry import foreign
from clbench.store import Result
from tests import networks
from tests.helpers import SMALL, config, run_small
from tests.test_checkpoint import check
from tests.test_code import anew, said  # noqa: F401  (a fixture)

MACHINE = Machine(DataPlace.default(), "cpu", threads=1)
LITTLE = ["--set", "scenario.samples_per_task=32", "--set", "scenario.tasks=2"]
FEW = {"scenario": {"tasks": 2, "samples_per_task": 32}, "epochs": 1}
SHAPE = (1, 8, 8)
pytestmark = pytest.mark.filterwarnings("ignore:.*classifiers replace:clbench.errors.Remark")


@pytest.fixture
def here(anew: Callable[[], None]) -> Callable[[], None]:  # noqa: F811
    """The networks as a file in the folder that commands run in."""
    shutil.copy(Path(networks.__file__), "other_networks.py")
    return anew


def trained(model: Any, strategy: Any = "naive", *layers: dict[str, Any]) -> Result:
    """A small run."""
    (one,) = resolve(SMALL, FEW, {"strategy": strategy, "model": model}, *layers)
    return run(one, MACHINE)


# Adapting.


@pytest.mark.parametrize(
    ("network", "layer", "features"),
    [
        (networks.Net(), "fc", 64),
        (networks.Flat(), "fc", 64),
        (networks.Lazy(), "4", 6),
        (networks.Shaped(SHAPE), "3", 5),
        (nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(64, 7), nn.Tanh()), nn.Linear(7, 2)), "2", 7),
    ],
)
def test_the_last_linear_layer_is_replaced(network: nn.Module, layer: str, features: int) -> None:
    modes = [module.training for module in network.modules()]
    found = adapt(network, "mine", SHAPE)
    assert (found.layer, found.features) == (layer, features)
    assert found.backbone(torch.randn(3, *SHAPE)).shape == (3, features)
    assert [module.training for module in found.backbone.modules()] == modes
    assert not any(getattr(module, "inplace", False) for module in found.backbone.modules())


def test_what_is_left_and_a_classifier_compute_what_the_network_did() -> None:
    network = networks.Net().eval()
    x, layer = torch.randn(5, *SHAPE), network.fc
    before = network(x)
    found = adapt(network, "mine", SHAPE)
    assert torch.equal(layer(found.backbone(x)), before)


def test_a_network_that_is_one_layer_leaves_its_input() -> None:
    found = adapt(nn.Linear(6, 2), "mine", (6,))
    x = torch.randn(3, 6)
    assert (found.layer, found.features) == ("", 6)
    assert found.backbone(x) is x


def test_looking_changes_nothing() -> None:
    network = networks.Net()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    buffer = network.running
    torch.manual_seed(0)
    adapt(network, "mine", SHAPE)
    drawn = torch.rand(3)
    assert torch.equal(drawn, torch.rand(3, generator=torch.Generator().manual_seed(0)))
    assert network.running is buffer
    after = network.state_dict()
    assert all(torch.equal(value, before[name]) for name, value in after.items())
    assert before.keys() - after.keys() == {"fc.weight", "fc.bias"}


def test_codes_go_in_as_whole_numbers() -> None:
    codes = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(12, 2))
    assert adapt(codes, "mine", (3,), torch.int64).features == 12


REFUSED = {
    "Flat(7)": (
        networks.Flat(7),
        r"cannot be called in evaluation mode with a batch \[2, 1, 8, 8\] of float32",
    ),
    "Convolutional": (networks.Convolutional(), r"calls no linear layer.*Wrap it in a class.*nn\.Linear\(features"),
    "Softmax": (networks.Softmax(), r"does something to the output of its last linear layer 'fc'.*such as a softmax"),
    "Pair": (networks.Pair(), r"returns a tuple in evaluation mode; it must return one tensor of logits"),
    "PairInTraining": (networks.PairInTraining(), r"returns a tuple in training mode"),
    "ChangesInput": (networks.ChangesInput(), r"changes its input in place.*x = x\.clone\(\)"),
    "AsksTheLayer": (
        networks.AsksTheLayer(),
        r"without its last linear layer 'fc', cannot be called.*'Identity'",
    ),
    "Maps": (networks.Maps(), r"returns \[2, 1, 10\] in evaluation mode for 2 samples; it must return logits \[n, cl"),
    "Twice": (networks.Twice(), r"calls its last linear layer 'fc' more than once"),
    "no module": ("a word", r"makes a str; it must make a torch\.nn\.Module"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_adapted_is_refused_in_one_paragraph(name: str) -> None:
    network, words = REFUSED[name]
    with pytest.raises(UserError, match=words) as refused:
        adapt(network, "mine", SHAPE)
    assert "\n" not in str(refused.value)
    assert "'mine'" in str(refused.value)


# Names.


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("other_networks.py:Raises", r"model\.width is required and has no default"),
        ("other_networks.py:absent", r"other_networks\.py has no 'absent'"),
        ("other_networks.py:wid", r"Did you mean 'wide'\?"),
        ("other_networks.py:made", r"is a Flat, made already\. Name a class or a function that makes the network anew"),
        ("other_networks.py:text", r"is a str\. Name a class or a function"),
        (
            "other_networks.py",
            r"say which class or function of other_networks\.py makes the network, as in other_networks\.py:Net",
        ),
        ("absent.py:Net", r"there is no file absent\.py"),
        ("broken.py:Net", r"broken\.py, line 2 cannot be read as Python"),
        ("nothere.Net", r"'nothere\.Net' cannot be imported \(No module named 'nothere'\)\. Give the import path"),
        ("torch.nn.Nothing", r"cannot be imported \(module 'torch\.nn' has no attribute 'Nothing'\)"),
        ("timm/resnet19", r"timm has no network 'resnet19'\. Did you mean 'resnet18'\?"),
        (
            {"name": "other_networks.py:Raises", "width": 3},
            r"cannot be made: ValueError: no such width\. Its options",
        ),
        (
            {"name": "other_networks.py:Net", "wdth": 3},
            r"Unknown option 'model\.wdth'\. Did you mean 'width'\?.*width, drop",
        ),
        ({"name": "other_networks.py:Net", "width": "wide"}, r"model\.width: expected a valid integer.* got 'wide'"),
        ({"name": "timm/resnet18", "in_chans": 1, "nothing": 1}, r"cannot be made: TypeError: .*'nothing'"),
        ("torchvision.models.resnet18", r"cannot be called in .* 3 channels, but got 1 channels"),
        ("other_networks.py:SpoilsGradients", r"cannot be trained on cpu in fp32 .*modified by an inplace operation"),
    ],
)
def test_what_is_no_network_here_is_refused(here: object, name: Any, words: str) -> None:
    Path("broken.py").write_text("import torch\ndef f(:\n")
    with pytest.raises(UserError, match=words) as refused:
        trained(name)
    assert "\n" not in str(refused.value)


def test_timm_that_is_not_there_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UserError, match=r"'timm/resnet18' needs timm.*pip install 'clbench\[vit\]'"):
        registry.model.load("timm/resnet18")


def test_a_name_that_is_a_key_of_ours_cannot_be_needed() -> None:
    def needs(name: str) -> nn.Module:
        raise NotImplementedError

    with pytest.raises(UserError, match=r"needs a 'name', which cannot be set.*Wrap the network in a function"):
        _ = registry.Declared("mine", needs, foreign=foreign.Found("mine", needs, "mine", needs)).schema


def test_a_file_is_known_by_one_name_and_by_its_code(here: object) -> None:
    (plain,), (dotted,) = (
        resolve(SMALL, {"strategy": "naive", "model": f"{at}other_networks.py:Net"}) for at in ("", "./")
    )
    assert plain == dotted
    code = plain.code["model other_networks.py:Net"]
    assert code.source == "other_networks.py"
    assert code.sha256 is not None
    assert plain.model == {"name": "other_networks.py:Net", "classifier": "auto", "width": 4, "drop": 0.1}


def test_networks_of_packages_are_known_by_version_and_module() -> None:
    for name, package in (("torchvision.models.resnet18", "torchvision "), ("timm/resnet18", "timm ")):
        (one,) = resolve(SMALL, {"strategy": "naive", "model": name})
        code = one.code[f"model {name}"]
        assert str(code.package).startswith(package)
        assert code.sha256 is not None
    assert one.model["pretrained"] is False


def test_an_edited_network_is_another_run_and_between_seeds_an_error(here: Callable[[], None]) -> None:
    (then,) = resolve(SMALL, {"strategy": "naive", "model": "other_networks.py:Net"})
    text = Path("other_networks.py").read_text()
    Path("other_networks.py").write_text(text.replace("0.9 * self.running", "0.8 * self.running"))
    with pytest.raises(
        UserError, match=r"code of model other_networks\.py:Net .*other_networks\.py\) has changed since"
    ):
        run(then, MACHINE)
    here()
    (now,) = resolve(SMALL, {"strategy": "naive", "model": "other_networks.py:Net"})
    assert now.run_id != then.run_id


# Weights from elsewhere.


@pytest.mark.parametrize("offline", [True, False])
def test_weights_are_fetched_only_if_asked_for_and_never_offline(
    here: object, monkeypatch: pytest.MonkeyPatch, offline: bool
) -> None:
    asked: list[str] = []

    def look_up(host: str, *where: Any, **more: Any) -> Any:
        asked.append(host)
        raise OSError("no such machine")

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    found = foreign.find("other_networks.py:Fetches")
    foreign.made(found, SHAPE, {"weights": None}, offline)
    assert not asked
    words = "Offline no weights are fetched: leave model.weights out" if offline else "model.weights asks for learnt"
    with pytest.raises(UserError, match=words):
        foreign.made(found, SHAPE, {"weights": "best"}, offline)
    assert asked == ([] if offline else ["weights.invalid"])


def test_a_package_fetches_nothing_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.getaddrinfo", lambda *where, **more: pytest.fail("looked for another machine"))
    found = foreign.Found(
        "tests.networks.Fetches", lambda **o: networks.Fetches("best"), "tests.networks", networks.Fetches
    )
    with pytest.raises(UserError, match="nothing is fetched from other machines unless an option asks"):
        foreign.made(found, SHAPE, {}, offline=False)


# Training.


@pytest.mark.parametrize("model", ["Net", "Lazy", "wide"])
def test_networks_of_a_file_learn(here: object, model: str) -> None:
    result = trained(f"other_networks.py:{model}", "naive", {"epochs": 20, "scenario": {"samples_per_task": 100}})
    learnt = result.metrics["learning_accuracy"].value
    assert learnt is not None
    assert learnt > 0.4  # of five classes


def test_a_constructor_is_given_the_shape_and_any_option_that_it_passes_on(here: object) -> None:
    result = trained({"name": "other_networks.py:Shaped", "width": 7, "bias": False})
    assert result.config["model"]["bias"] is False
    assert result.model.parameters == 7 * 64 + 2 * (7 * 5 + 5)


@pytest.mark.parametrize("name", ["naive", "er", "ewc", "lwf", "der++", "si-fixed", "redo", "racecar", "cold"])
def test_strategies_work_on_a_foreign_network_or_refuse_it_by_name(here: object, name: str) -> None:
    said = ""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "what has no reset_parameters keeps its own weights.*Net", Remark)
        warnings.filterwarnings("ignore", "the strategy leaves layers alone", Remark)
        try:
            assert trained("other_networks.py:Net", name).status == "ok"
        except UserError as error:
            said = str(error)
    assert not said or name in said


def test_people_hear_what_became_of_it(here: object) -> None:
    words = "other_networks.py:Net: classifiers replace its layer 'fc'; 64 features from 52 parameters before it."
    with pytest.warns(Remark) as told:
        trained("other_networks.py:Net")
    assert [str(one.message) for one in told] == [words]
    done = said(
        "run", "--strategy", "naive", "--model", "other_networks.py:Net", "--set", "epochs=1", *LITTLE, "--json"
    )
    assert '"name": "other_networks.py:Net"' in done


def test_resume_goes_on_bit_for_bit(here: object, tmp_path: Path) -> None:
    """Of a network with buffers, dropout and what no file can hold; with a teacher that is a copy of it."""
    short = {"epochs": 2, "batch_size": 8, "model": "other_networks.py:Net"}
    check(config("lwf", short), tmp_path)


def test_a_network_that_cannot_work_in_bf16_does_so_only_if_asked(
    here: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clbench.engine.network.choose_precision", lambda name, *_: "bf16" if name == "auto" else name)
    setting = {"model": "other_networks.py:KeepsFloats"}
    assert run_small("naive", setting).environment["precision"] == "fp32"
    assert run_small("naive", {"model": "other_networks.py:Net"}).environment["precision"] == "bf16"
    with pytest.raises(UserError, match=r"cannot be trained on cpu in bf16 .*same scalar type"):
        run_small("naive", setting, {"precision": "bf16"})


def test_trying_leaves_no_trace_in_statistics(here: object) -> None:
    (one,) = resolve(SMALL, FEW, {"strategy": "naive", "model": "other_networks.py:Net"})
    network: Any = finished(one, MACHINE).model.backbone
    steps = 2 * (32 // one.batch_size)
    assert int(network.steps) == int(network.norm.num_batches_tracked) == steps
    assert network.running.abs().sum() > 0
