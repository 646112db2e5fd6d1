"""Methods that watch and replace single units, against cases written out."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from clbench import optimizers, registry
from clbench.errors import UserError
from clbench.models.network import MultiHeadNetwork, Network
from clbench.store import Result
from clbench.strategies._units import Activity, HiddenLayer, drawn_anew, hidden_layers, replace_units
from clbench.strategies.continual_backprop import Usefulness, give_to_readers
from clbench.strategies.hare_tortoise import HareTortoise
from clbench.strategies.redo import ReDo, scores
from clbench.strategies.snr import SelfNormalizedResets, Silence
from clbench.strategies.upgd import Upgd
from tests.helpers import FakeLearner, run_small, task_data

SEED = torch.Generator


def mlp() -> Network:
    torch.manual_seed(0)
    return Network(nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 5), nn.ReLU()), nn.Linear(5, 2))


def cnn() -> Network:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    return Network(nn.Sequential(*layers, nn.Linear(12, 5), nn.ReLU()), nn.Linear(5, 2))


def learner(model: nn.Module, momentum: float = 0.9) -> Any:
    images = torch.randn(12, 1, 4, 4) if isinstance(model.backbone[0], nn.Conv2d) else torch.randn(12, 1, 2, 2)  # type: ignore[index]
    fake: Any = FakeLearner(model, task_data(images, torch.arange(12) % 2))
    fake.optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=momentum)
    return fake


def step(fake: Any) -> None:
    fake.optimizer.zero_grad()
    nn.functional.cross_entropy(fake.model(fake.data.samples), fake.data.labels).backward()
    fake.optimizer.step()


def test_layers_are_found_with_their_readers() -> None:
    model: Any = cnn()
    first, second = hidden_layers(model, "test")
    assert first.incoming is model.backbone[0]
    assert first.norm is model.backbone[1]
    assert first.outgoing == [model.backbone[5]]
    assert (second.outgoing, second.norm, second.units) == ([model.classifier], None, 5)
    assert first.spread(torch.tensor([1.0, 2.0, 3.0])).tolist() == [1.0] * 4 + [2.0] * 4 + [3.0] * 4
    many: Any = MultiHeadNetwork(model.backbone, 5, 2, heads=3)
    assert len(hidden_layers(many, "test")[-1].outgoing) == 3


@pytest.mark.parametrize("strategy", ["redo", "snr", "continual-backprop"])
@pytest.mark.parametrize(
    ("model", "named"),
    [({"name": "slim-resnet18", "width": 4}, "BasicBlock"), ({"activation": "crelu"}, "ConcatenatedReLU")],
)
def test_networks_they_do_not_know_are_refused_by_name(strategy: str, model: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=rf"'{strategy}' .*{named}.*mlp, lenet, cnn6"):
        run_small(strategy, {"model": model})


def test_activity_is_what_the_next_layer_reads() -> None:
    model: Any = cnn()
    layers = hidden_layers(model, "test")
    activity = Activity(layers)
    x = torch.randn(6, 1, 4, 4)
    model(x)
    activity.off()
    read = model.backbone[:5](x)
    torch.testing.assert_close(activity.outputs[0].flatten(1), read)
    assert activity.outputs[0].shape == (6, 3, 4)  # what the linear layer reads: four places of each map, after pooling
    model(2 * x)
    assert activity.outputs[1].shape == (6, 5, 1), "off: the second pass was not caught"
    maps = HiddenLayer(model.backbone[0], None, model.backbone[3], [nn.Conv2d(3, 2, 1)])
    assert maps.by_unit(torch.randn(6, 3, 2, 2)).shape == (24, 3, 1), "places that a convolution reads are samples"


def test_only_the_batchs_own_pass_is_watched() -> None:
    """A replayed batch that another method runs beside must not count."""
    model = cnn()
    fake: Any = FakeLearner(model)
    fake.is_training = True
    method = SelfNormalizedResets()
    method.before_training_exp(fake)
    method.pass_begins(fake)
    model(torch.randn(6, 1, 4, 4))
    method.pass_ends(fake)
    model(torch.randn(9, 1, 4, 4))
    assert [len(outputs) for outputs in method.activity.outputs] == [6, 6]
    method.after_training_exp(fake)


def test_replaced_units_are_new_unread_and_have_no_optimiser_state() -> None:
    model: Any = cnn()
    fake = learner(model)
    step(fake)
    step(fake)
    first, _ = hidden_layers(model, "test")
    chosen = torch.tensor([False, True, False])
    before = [p.detach().clone() for p in model.parameters()]
    replace_units(fake, first, chosen, SEED().manual_seed(1))
    fresh, bias = drawn_anew(first.incoming, SEED().manual_seed(1))
    assert bias is not None
    assert torch.equal(first.incoming.weight[1], fresh[1])
    assert torch.equal(first.incoming.weight[0], before[0][0]), "others stay"
    assert torch.equal(model.backbone[5].weight[:, 4:8], torch.zeros(5, 4))
    assert torch.equal(model.backbone[5].weight[:, :4], before[4][:, :4])
    norm = model.backbone[1]
    assert (norm.weight[1].item(), norm.bias[1].item()) == (1.0, 0.0)
    assert (norm.running_mean[1].item(), norm.running_var[1].item()) == (0.0, 1.0)
    momentum = fake.optimizer.state[first.incoming.weight]["momentum_buffer"]
    assert torch.equal(momentum[1], torch.zeros(1, 3, 3))
    assert momentum[0].abs().sum() > 0
    assert torch.equal(fake.optimizer.state[model.backbone[5].weight]["momentum_buffer"][:, 4:8], torch.zeros(5, 4))


def test_drawn_anew_is_pytorchs_own_initialisation() -> None:
    layer = nn.Linear(400, 300)
    weight, bias = drawn_anew(layer, SEED().manual_seed(0))
    assert bias is not None
    assert float(weight.abs().max()) <= 1 / 20
    assert float(weight.std()) == pytest.approx(float(layer.weight.detach().std()), rel=0.02)


def test_redo_scores_and_recycles_dormant_units() -> None:
    outputs = torch.tensor([[0.0, 1.0, 2.0], [0.0, 1.0, 4.0]])
    assert torch.allclose(scores(outputs.unsqueeze(2)), torch.tensor([0.0, 0.75, 2.25]))
    assert torch.equal(scores(torch.zeros(2, 3, 1)), torch.zeros(3))
    model: Any = mlp()
    with torch.no_grad():
        for layer in (model.backbone[1], model.backbone[3]):
            layer.bias.fill_(5.0)  # all units fire
        model.backbone[1].bias[1] = -100.0  # but one
    fake = learner(model)
    alive = model.backbone[1].weight[0].detach().clone()
    method = ReDo(every=2)
    method.before_training_exp(fake)
    method.after_update(fake)
    assert model.backbone[1].bias[1] == -100.0, "not yet"
    method.after_update(fake)
    assert tensor_range(model.backbone[1].bias[1]) <= 0.5
    assert torch.equal(model.backbone[3].weight[:, 1], torch.zeros(5))
    assert torch.equal(model.backbone[1].weight[0], alive)


def test_usefulness_is_the_running_utility_written_out() -> None:
    model: Any = mlp()
    layer = hidden_layers(model, "test")[0]
    units = Usefulness(3, torch.zeros(()))
    utility, mean = torch.zeros(3), torch.zeros(3)
    for t in range(1, 6):
        h = torch.rand(7, 3)
        with torch.no_grad():
            units.observe(layer, h.unsqueeze(2), 0.9)
        mean = 0.9 * mean + 0.1 * h.mean(0)
        corrected = mean / (1 - 0.9**t)
        reads = model.backbone[3].weight.abs().mean(0) / model.backbone[1].weight.abs().mean(1)
        utility = 0.9 * utility + 0.1 * (h - corrected).abs().mean(0) * reads
    assert torch.allclose(units.utility, utility.detach(), atol=1e-6)
    units.age[0] = 1  # young again
    chosen = units.least(1, maturity=2)
    ranked = utility.clone()
    ranked[0] = torch.inf
    assert chosen.nonzero().item() == ranked.argmin().item()


def test_replacement_keeps_its_rate_among_the_mature() -> None:
    units = Usefulness(100, torch.zeros(()))
    replaced = 0
    for _ in range(300):
        units.steps += 1
        units.age += 1
        units.uncorrected *= 0.99
        count = units.turn(0.01, maturity=50)
        if count:
            units.begin_anew(units.least(count, 50))
            replaced += count
    # From step 51 on each step owes 1 % of the mature; in balance u·(1 + 0.01·50) = 100 are mature.
    assert replaced == pytest.approx(250 * 0.01 * 100 / 1.5, rel=0.15)
    assert int((units.age > 50).sum()) == 100 - sum(count for _, count in units.young)


@pytest.mark.parametrize("make", [mlp, cnn])
def test_readers_do_not_notice_that_a_constant_unit_is_gone(make: Any) -> None:
    model: Any = make()
    layer: HiddenLayer = hidden_layers(model, "test")[0]
    reader = layer.outgoing[0]
    constant = torch.tensor([0.0, 0.7, 0.0])  # unit 1 always gives 0.7
    spread = layer.spread(constant)
    before = reader(spread)
    with torch.no_grad():
        give_to_readers(layer, constant)
        reader.weight[:, spread > 0] = 0.0
    assert torch.allclose(reader(torch.zeros_like(spread)), before, atol=1e-6)


def test_snr_resets_only_improbable_silence() -> None:
    silence = Silence(3, torch.device("cpu"))
    for t in range(1000):
        # unit 0 fires always, unit 1 every tenth step, unit 2 always but for the last 200 steps
        silence.observe(torch.tensor([[[1.0], [float(t % 10 == 0)], [float(t < 800)]]]))
    assert silence.silent.tolist() == [0.0, 9.0, 200.0]
    assert silence.unusual(0.01, least=1).tolist() == [False, False, True]
    assert silence.unusual(0.01, least=500).tolist() == [False, False, False]
    assert silence.unusual(0.0, least=1).tolist() == [False, False, False]
    tail = (1 - 1 / (991 / 100)) ** 9  # 100 firings in the 991 steps up to the last
    assert silence.unusual(tail * 1.01, least=1)[1]
    assert not silence.unusual(tail * 0.99, least=1)[1]
    silence.begin_anew(torch.tensor([False, False, True]))
    assert silence.age.tolist() == [1000.0, 1000.0, 0.0]


def test_upgd_step_written_out() -> None:
    model: Any = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    fake = learner_of(model)
    method = Upgd(beta=0.5, noise=0.0)
    method.before_training_exp(fake)
    utilities = [torch.zeros_like(p) for p in model.parameters()]
    for _ in range(3):
        fake.optimizer.zero_grad()
        nn.functional.cross_entropy(model(fake.data.samples), fake.data.labels).backward()
        gradients = [p.grad.clone() for p in model.parameters()]
        utilities = [
            0.5 * u - 0.5 * g * p.detach() for u, g, p in zip(utilities, gradients, model.parameters(), strict=True)
        ]
        highest = max(float(u.max()) for u in utilities)
        method.before_update(fake)
        for u, g, p in zip(utilities, gradients, model.parameters(), strict=True):
            assert torch.allclose(p.grad, g * (1 - torch.sigmoid(u / highest)), atol=1e-6)
        fake.optimizer.step()


def test_upgd_noise_has_its_size_and_heads_without_gradient_stay() -> None:
    model: Any = MultiHeadNetwork(nn.Sequential(nn.Flatten(), nn.Linear(4, 500)), 500, 2, heads=2)
    fake = learner_of(model)
    method = Upgd(noise=0.1)
    method.before_training_exp(fake)
    model.backbone[1].weight.grad = torch.zeros(500, 4)
    method.before_update(fake)
    assert float(model.backbone[1].weight.grad.std()) == pytest.approx(0.1 / 2, rel=0.1), "half of it at zero utility"
    assert model.classifier[1].weight.grad is None


def learner_of(model: nn.Module) -> Any:
    fake: Any = FakeLearner(model, task_data(torch.randn(12, 1, 2, 2), torch.arange(12) % 2))
    fake.optimizer = torch.optim.SGD(model.parameters(), 0.1)
    return fake


def test_tortoise_follows_and_the_hare_goes_back() -> None:
    model: Any = mlp()
    method = HareTortoise(momentum=0.75, every=2)
    fake = learner_of(model)
    method.before_training_exp(fake)
    weight = model.backbone[1].weight
    start = weight.detach().clone()
    with torch.no_grad():
        weight.add_(1.0)
    method.after_update(fake)
    assert torch.allclose(weight, start + 1.0)
    with torch.no_grad():
        weight.add_(1.0)
    method.after_update(fake)
    # slow: +0.25, then +0.25 + 0.25·(2 − 0.25)
    assert torch.allclose(weight, start + 0.25 + 0.25 * 1.75, atol=1e-6)


def test_sam_takes_the_gradient_uphill() -> None:
    weight = nn.Parameter(torch.tensor([3.0, 4.0]))
    made: Any = optimizers.declared("sam").make([weight], torch.device("cpu"), lr=0.1, rho=0.5)
    (weight**4).sum().backward()
    assert weight.grad is not None
    gradient = weight.grad.clone()
    start = weight.detach().clone()
    made.climb()
    assert torch.allclose(weight, start + 0.5 * gradient / gradient.norm())
    assert not [p for p in [weight] if p.grad is not None]
    made.descend()
    assert torch.allclose(weight, start)


def test_sam_differs_from_sgd_and_keeps_statistics_of_one_pass() -> None:
    batch: dict[str, Any] = {"model": {"norm": "batch"}}
    plain, sharp = run_small("naive", batch), run_small("naive", batch, {"optimizer": {"name": "sam", "rho": 1e-9}})
    # Hardly a step uphill is hardly another gradient: the same course if the statistics were counted once.
    assert sharp.diagnostics["training_loss"] == pytest.approx(plain.diagnostics["training_loss"], rel=1e-3)
    far = run_small("naive", batch, {"optimizer": {"name": "sam", "rho": 0.5}})
    assert far.diagnostics["training_loss"] != plain.diagnostics["training_loss"]


@pytest.mark.parametrize(
    "options",
    [
        {"name": "redo", "every": 10**6},
        {"name": "continual-backprop", "rate": 0},
        {"name": "snr", "rate": 0, "every": 1, "least": 1},
        {"name": "hare-tortoise", "every": 10**6},
        {"name": "hare-tortoise", "momentum": 0, "every": 1},
        {"name": "reset-layers", "layers": 1},
    ],
)
def test_a_remedy_at_zero_strength_is_warm_bit_for_bit(options: dict[str, Any]) -> None:
    if options["name"] == "reset-layers":  # resets nothing where there is one stage
        one = {"scenario": {"name": "warm-start-digits", "tasks": 1}, "epochs": 2}
        assert run_small(options, one).accuracy == run_small("warm", one).accuracy
        return
    found, warm = run_small(options), run_small("warm")
    assert found.accuracy == warm.accuracy
    assert found.diagnostics["training_loss"] == warm.diagnostics["training_loss"]


@pytest.mark.parametrize("strategy", ["cold", "reset-head", "reset-layers", "warm-reset-optimizer"])
def test_resets_leave_no_stale_optimiser_state(strategy: str) -> None:
    model: Any = cnn()
    fake = learner(model)
    step(fake)
    before = [p.detach().clone() for p in model.parameters()]
    fake.stage = 1
    registry.strategy.load(strategy).make().before_training_exp(fake)
    parts = {
        "cold": list(model.parameters()),
        "reset-head": list(model.classifier.parameters()),
        "reset-layers": [*model.classifier.parameters(), *model.backbone[5].parameters()],
        "warm-reset-optimizer": [],
    }[strategy]
    renewed = {id(p) for p in parts}
    for p, old in zip(model.parameters(), before, strict=True):
        constant = p.shape == (3,) and p is not model.backbone[0].bias  # a normalisation's scale and shift
        assert (not torch.equal(p, old)) == (id(p) in renewed) or constant
        gone = id(p) in renewed or strategy in ("cold", "warm-reset-optimizer")
        assert (p in fake.optimizer.state) is not gone


def test_cold_start_is_a_fresh_network_with_fresh_statistics() -> None:
    model: Any = cnn()
    fake = learner(model)
    for _ in range(3):
        step(fake)
    fake.stage = 2
    registry.strategy.load("cold").make().before_training_exp(fake)
    assert torch.equal(model.backbone[1].running_mean, torch.zeros(3))
    assert torch.equal(model.backbone[1].weight, torch.ones(3))
    assert tensor_range(model.classifier.weight) <= 5**-0.5


def tensor_range(values: Tensor) -> float:
    return float(values.detach().abs().max())


# What each says of a run of 30 steps in which it could not act.
IDLE: list[tuple[dict[str, Any], str]] = [
    ({"name": "redo", "every": 1000}, "never fired: redo looked at no unit, since the run had fewer than 1000 steps"),
    ({"name": "snr", "every": 100}, "never fired: snr looks every 100 steps, and the run had 30"),
    ({"name": "snr", "every": 10, "rate": 0}, "never fired: snr found no unit in 3 looks"),
    ({"name": "continual-backprop", "rate": 1e-4}, "never fired: continual-backprop replaced no unit"),
    ({"name": "hare-tortoise", "every": 1000}, "never fired: hare-tortoise sets the hare back every 1000 steps"),
    ({"name": "weight-clipping", "zeta": 100}, "never fired: weight-clipping met no weight beyond ±100/√fan_in"),
    ({"name": "frozen-layers", "layers": "even"}, "never fired: frozen-layers froze nothing"),
    ({"name": "warm-reset-optimizer"}, "never fired: warm-reset-optimizer found no state"),
]
BETWEEN = ["cold", "dash", "fire", "reset-head", "reset-layers", "shrink-only", "shrink-perturb"]
LATER = [*BETWEEN, "lwf", "feature-distill", "frozen-backbone"]


def on_digits(strategy: Any, tasks: int) -> Result:
    """Six steps a task."""
    stream = {"scenario": {"name": "split-digits", "tasks": tasks, "samples_per_task": 48}}
    return run_small(strategy, stream, {"batch_size": 16})


@cache
def naive_on_digits(tasks: int) -> Result:
    """Fine-tuning, run once."""
    return on_digits("naive", tasks)


def ran(options: dict[str, Any], tasks: int = 5) -> list[Any]:
    """The parts of a small run's strategy, and whether it was fine-tuning bit for bit."""
    made: list[Any] = []
    declared = registry.strategy.load(options["name"])

    def make(**given: Any) -> Any:
        made.append(declared.make(**given))
        return made[-1]

    registry.strategy._declared[options["name"]] = registry.Declared(options["name"], make, declared.attributes)
    object.__setattr__(registry.strategy._declared[options["name"]], "schema", declared.schema)
    try:
        found, naive = on_digits(options, tasks), naive_on_digits(tasks)
    finally:
        registry.strategy._declared[options["name"]] = declared
    same = found.diagnostics["training_loss"] == naive.diagnostics["training_loss"]
    return [made[0], same and found.accuracy == naive.accuracy]


@pytest.mark.parametrize(("options", "said"), IDLE)
def test_what_never_acted_is_naive_and_says_so(options: dict[str, Any], said: str) -> None:
    method, naive = ran(options)
    assert naive
    (warning,) = method.warnings()
    assert warning.startswith(said)


@pytest.mark.parametrize("strategy", LATER)
def test_what_acts_between_stages_says_so_of_one_stage(strategy: str) -> None:
    method, naive = ran({"name": strategy}, tasks=1)
    assert naive
    (warning,) = method.warnings()
    assert warning.startswith(f"never fired: {strategy} ")
    method, naive = ran({"name": strategy}, tasks=2)
    assert not naive
    assert method.warnings() == []


@pytest.mark.parametrize("strategy", ["redo", "hare-tortoise", "jumpstart", "l2-init", "upgd", "random-label-pretrain"])
def test_defaults_act_on_short_stages(strategy: str) -> None:
    """Six steps a stage are enough for each of them to look, and to say so where there was nothing to do."""
    method, naive = ran({"name": strategy})
    assert naive == any(warning.startswith("never fired") for warning in method.warnings())


def test_redo_that_finds_no_dormant_unit_says_so() -> None:
    model: Any = mlp()
    with torch.no_grad():
        for layer in (model.backbone[1], model.backbone[3]):
            layer.bias.fill_(5.0)  # all units fire
    fake = learner(model)
    fake.stage_steps = 8
    method = ReDo(looks=2)
    method.before_training_exp(fake)
    for _ in range(8):
        method.after_update(fake)
    assert method.warnings() == ["never fired: redo found no unit below its threshold 0.025 in 2 looks"]


def test_jumpstart_without_anything_to_pull_says_so() -> None:
    model: Any = mlp()
    fake = learner(model)
    method: Any = registry.strategy.load("jumpstart").make()
    method.before_training_exp(fake)
    assert method.warnings()[0].startswith("never fired: jumpstart")
    method.pass_begins(fake)
    model(torch.zeros(2, 1, 2, 2)).sum().backward()
    assert method.warnings() == []
    method.after_training_exp(fake)


def test_half_precision_goes_through_hooks() -> None:
    """Under autocast units' outputs have fewer digits than weights."""
    for name in ("jumpstart", "continual-backprop", "redo", "snr"):
        model: Any = cnn()
        fake = learner(model)
        fake.stage_steps, fake.is_training = 1, True
        method: Any = registry.strategy.load(name).make()
        method.before_training_exp(fake)
        method.pass_begins(fake)
        with torch.autocast("cpu", torch.bfloat16):
            output = model(fake.data.samples)
        method.pass_ends(fake)
        nn.functional.cross_entropy(output.float(), fake.data.labels).backward()
        fake.optimizer.step()
        method.after_update(fake)
        method.after_training_exp(fake)
