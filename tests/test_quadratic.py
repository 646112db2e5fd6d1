"""The quadratic family: folding is exact, and interpolation is what the paper says."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from clbench.engine import assemble
from clbench.engine.plugins import plugins_of
from clbench.errors import Remark, UserError
from clbench.models.network import Classifier, build
from clbench.strategies._anchor import Anchor, IncludeHead, Scope, balance
from clbench.strategies._importance import Importance
from clbench.strategies._quadratic import ExplicitInterpolation, QuadraticPenalty, stable_up_to
from clbench.strategy import Weights
from tests.helpers import FakeLearner, config, run_small

# Subnormal numbers are flushed by any run in the same process.
numbers = st.floats(0, 10, width=32, allow_subnormal=False).filter(lambda v: v == 0 or v > 1e-3)
EVERYTHING = Scope(include_head=True, include_norm=True, balanced=False)
places = st.floats(-5, 5, width=32, allow_subnormal=False)


class Given(Importance):
    """An importance that is told."""

    def __init__(self, value: list[float]) -> None:
        self.value = torch.tensor([value])

    def current(self, weights: Any) -> Weights:
        return [self.value]


def model_at(*values: float) -> nn.Linear:
    model = nn.Linear(len(values), 1, bias=False)
    model.weight.data = torch.tensor([values])
    return model


def penalty_gradient(penalty: QuadraticPenalty, model: nn.Linear) -> Tensor:
    learner = FakeLearner(model)
    penalty.before_training_exp(learner)
    model.weight.grad = torch.zeros_like(model.weight)
    penalty.before_update(learner)
    return model.weight.grad


@given(st.lists(st.tuples(numbers, places), min_size=1, max_size=6), places)
def test_separate_penalties_fold_exactly(tasks: list[tuple[float, float]], now: float) -> None:
    """One A and one anchor give the gradient of Σ_t A_t(θ − θ_t)²/2."""
    anchor = Anchor("separate")
    for importance, place in tasks:
        anchor.add(["weight"], [torch.tensor([[importance]])], [torch.tensor([[place]])])
    found = penalty_gradient(QuadraticPenalty(Given([0.0]), anchor, 2.0, EVERYTHING), model_at(now))
    expected = 2.0 * sum(importance * (now - place) for importance, place in tasks)
    assert float(found) == pytest.approx(expected, rel=1e-4, abs=1e-3)


@settings(deadline=None)  # torch.optim is imported on the way
@given(numbers, places, places, places, st.floats(0.0625, 1), st.floats(0.0625, 1))
def test_a_penalty_step_is_an_interpolation(
    importance: float, old: float, now: float, gradient: float, eta: float, lam: float
) -> None:
    """θ − η(g + λA(θ − θ*)) = (1 − ηλA)θ + ηλAθ* − ηg: one step of plain SGD (METHODS: Lubana et al. 2022, eq. 3)."""
    anchor = Anchor("separate")
    anchor.add(["weight"], [torch.tensor([[importance]])], [torch.tensor([[old]])])
    model = model_at(now)
    strategy, learner = QuadraticPenalty(Given([0.0]), anchor, lam, EVERYTHING), FakeLearner(model)
    strategy.before_training_exp(learner)
    model.weight.grad = torch.tensor([[gradient]])
    strategy.before_update(learner)
    torch.optim.SGD(model.parameters(), eta).step()
    share = eta * lam * importance
    expected = (1 - share) * now + share * old - eta * gradient
    assert float(model.weight.detach()) == pytest.approx(expected, rel=1e-6, abs=1e-4)


@pytest.mark.parametrize(("clamp", "share"), [(False, 4.0), (True, 1.0)])
def test_clamping_stops_at_the_anchor(clamp: bool, share: float) -> None:
    """A ≤ 1/(ηλ): one step goes to the anchor and not beyond."""
    anchor = Anchor("sum")
    anchor.add(["weight"], [torch.tensor([[40.0]])], [torch.tensor([[1.0]])])
    strategy = QuadraticPenalty(Given([0.0]), anchor, 2.0, EVERYTHING, clamp=clamp)
    model = model_at(3.0)
    learner = FakeLearner(model)
    learner.optimizer = torch.optim.SGD(model.parameters(), 0.05)
    strategy.before_training_exp(learner)
    model.weight.grad = torch.zeros_like(model.weight)
    strategy.before_update(learner)
    learner.optimizer.step()
    assert float(model.weight.detach()) == pytest.approx(3.0 - share * 2.0)
    protection = strategy.protection()
    assert protection is not None
    assert float(0.05 * protection.strength["weight"]) == pytest.approx(share)


def test_balanced_layers_have_the_same_mean() -> None:
    names = ["a.weight", "a.bias", "b.weight", "c.weight"]
    found = balance(names, [torch.tensor([1.0, 3.0]), torch.tensor([2.0]), torch.tensor([10.0]), torch.zeros(3)])
    assert [t.tolist() for t in found] == [
        [2.0, 6.0],
        [4.0],
        [4.0],
        [0.0, 0.0, 0.0],
    ]  # means 2, 10 and 0: 4 over layers


def test_normalised_importances_sum_to_one_over_all_weights() -> None:
    anchor = Anchor("normalised")
    anchor.add(["a", "b"], [torch.tensor([3.0]), torch.tensor([1.0])], [torch.zeros(1), torch.zeros(1)])
    anchor.add(["a", "b"], [torch.tensor([1.0]), torch.tensor([1.0])], [torch.ones(1), torch.ones(1)])
    assert {name: float(value) for name, value in anchor.importance.items()} == {"a": 0.625, "b": 0.375}


def test_norm_layers_are_left_out_when_told() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.LayerNorm(3))
    names = {norm: list(Scope(True, norm, False).weights(model)) for norm in (True, False)}
    assert names[False] == ["0.weight", "0.bias"]
    assert names[True] == ["0.weight", "0.bias", "1.weight", "1.bias", "2.weight", "2.bias"]


def test_parity_of_a_penalty() -> None:
    """No ½ in the penalty, and online the first task's importances averaged with nothing."""
    anchor = Anchor("mean", halve_first=True)
    anchor.add(["weight"], [torch.tensor([[8.0]])], [torch.tensor([[1.0]])])
    assert float(anchor.importance["weight"]) == 4.0
    doubled = QuadraticPenalty(Given([0.0]), anchor, 10.0, EVERYTHING, doubled=True)
    assert float(penalty_gradient(doubled, model_at(1.5))) == 2 * 10 * 4 * 0.5


@pytest.mark.parametrize(
    ("kind", "importance"), [("separate", 7.0), ("sum", 7.0), ("online", 0.5 * 3 + 4), ("mean", 3.5)]
)
def test_accumulation(kind: Any, importance: float) -> None:
    anchor = Anchor(kind, gamma=0.5)
    anchor.add(["w"], [torch.tensor([3.0])], [torch.tensor([1.0])])
    anchor.add(["w"], [torch.tensor([4.0])], [torch.tensor([2.0])])
    assert float(anchor.importance["w"]) == pytest.approx(importance)
    assert float(anchor.weights["w"]) == pytest.approx((3 * 1 + 4 * 2) / 7 if kind == "separate" else 2.0)


def test_penalty_has_the_half() -> None:
    """λ/2·A(θ−θ*)² has the gradient λA(θ−θ*)."""
    anchor = Anchor("separate")
    anchor.add(["weight"], [torch.tensor([[2.0]])], [torch.tensor([[1.0]])])
    assert float(penalty_gradient(QuadraticPenalty(Given([0.0]), anchor, 10.0, EVERYTHING), model_at(1.5))) == 10.0


def test_a_grown_classifier_is_free_where_it_is_new() -> None:
    anchor = Anchor("separate")
    anchor.add(["weight"], [torch.ones(1, 2)], [torch.zeros(1, 2)])
    (importance,), (place,) = anchor.fitting(["weight"], [torch.full((3, 2), 5.0)])
    assert importance.tolist() == [[1, 1], [0, 0], [0, 0]]
    assert place.tolist() == [[0, 0], [5, 5], [5, 5]]


@pytest.mark.parametrize(("when", "last"), [("freeze", 0.0), ("free", 8.0)])
def test_interpolation_by_hand(when: Any, last: float) -> None:
    """R = √A/(√α+√A): ⅔ for A = 4, α = 1; 1 for α = 0; 0 for A = 0; and 0/0 as told."""
    anchor = Anchor("mean")
    anchor.add(["weight"], [torch.tensor([[4.0, 9.0, 0.0, 0.0]])], [torch.zeros(1, 4)])
    strategy = ExplicitInterpolation(Given([1.0, 0.0, 2.0, 0.0]), anchor, when, EVERYTHING)
    model = model_at(1.0, 2.0, 3.0, 4.0)
    learner = FakeLearner(model)
    strategy.before_training_exp(learner)
    with torch.no_grad():
        model.weight.mul_(2)  # the optimiser's step
    strategy.after_update(learner)
    torch.testing.assert_close(model.weight.data, torch.tensor([[2 / 3, 0.0, 6.0, last]]))


def test_interpolation_averages_importances_at_the_end() -> None:
    strategy = ExplicitInterpolation(Given([1.0]), Anchor("mean"), "freeze", EVERYTHING)
    model = model_at(3.0)
    learner = FakeLearner(model)
    for value in (1.0, 4.0):
        strategy.importance.value = torch.tensor([[value]])
        strategy.before_training_exp(learner)
        strategy.after_training_exp(learner)
    assert float(strategy.anchor.importance["weight"]) == 2.5, "the first task's importance is not halved"


@given(st.floats(0.0625, 100), st.floats(0.0625, 100), places)
def test_interpolation_never_overshoots(old: float, new: float, now: float) -> None:
    """R is in (0, 1): the weight ends between where it was and the anchor, however large the importances."""
    anchor = Anchor("mean")
    anchor.add(["weight"], [torch.tensor([[old]])], [torch.zeros(1, 1)])
    strategy = ExplicitInterpolation(Given([new]), anchor, "freeze", EVERYTHING)
    model = model_at(now)
    learner = FakeLearner(model)
    strategy.before_training_exp(learner)
    strategy.after_update(learner)
    place = float(model.weight.data)
    assert abs(place) <= abs(now)
    assert place * now >= 0


@pytest.mark.parametrize(("classifier", "held"), [("multi", False), ("single", True), ("growing", True)])
def test_a_classifier_that_tasks_share_is_held_and_heads_of_their_own_are_not(
    classifier: Classifier, held: bool
) -> None:
    model = build(nn.Flatten(), (1, 2, 2), classifier, 3, 2)
    cases: list[tuple[IncludeHead, bool]] = [("auto", held), (True, True), (False, False)]
    for include, expected in cases:
        weights = Scope(include, True, False).weights(model)
        assert any(name.startswith("classifier") for name in weights) == expected


@pytest.mark.parametrize("name", ["ewc", "ewc-online", "ewc-fixed", "mas", "si", "si-fixed", "rwalk", "l2", "random"])
@pytest.mark.parametrize(("incremental", "as_if"), [("task", False), ("class", True), ("domain", True)])
def test_including_the_head_is_automatic(name: str, incremental: str, as_if: bool) -> None:
    setting = {"scenario": {"incremental": incremental, "keep": 2}}
    strong = {} if name.endswith("fixed") else {"lam": 5.0 if name in ("l2", "random", "rwalk") else 100.0}
    found = [
        run_small({"name": name} | strong | options, setting).diagnostics["training_loss"]
        for options in ({}, {"include_head": True}, {"include_head": False})
    ]
    assert found[0] == found[1 if as_if else 2]
    assert found[1] != found[2] or not as_if, "heads of their own do not move when they are not trained"


def kept(strategy: dict[str, Any], *layers: dict[str, Any]) -> Any:
    """A strategy after a small run."""
    made = plugins_of(config(strategy, *layers))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assemble, "plugins_of", lambda _: made)
        run_small(strategy, *layers)
    return made[0]


@pytest.mark.parametrize("logits", ["seen", "current"])
@pytest.mark.parametrize("name", ["ewc", "mas", "si", "rwalk", "ewc-fixed", "mas-fixed"])
def test_classes_that_are_masked_have_no_importance(name: str, logits: str) -> None:
    strategy = kept({"name": name}, {"scenario": {"incremental": "class", "keep": 2}, "logits": logits})
    importance = strategy.anchor.importance["classifier.weight"]
    assert importance[:4].any()
    assert not importance[4:].any()
    assert all(value.isfinite().all() for value in strategy.anchor.importance.values())


def penalty_of(strength: float, **options: Any) -> tuple[QuadraticPenalty, FakeLearner]:
    """A penalty with A = 1 and λ as told, before a step at a learning rate of 0.1."""
    anchor = Anchor("sum")
    anchor.add(["weight"], [torch.tensor([[1.0]])], [torch.tensor([[1.0]])])
    strategy = QuadraticPenalty(Given([0.0]), anchor, strength, EVERYTHING, **options)
    learner = FakeLearner(model_at(3.0))
    strategy.before_training_exp(learner)
    return strategy, learner


@pytest.mark.filterwarnings("always")
def test_a_penalty_that_passes_its_anchor_says_so_once() -> None:
    """ηλA = 2 when the rate is highest: a remark at that step, and one warning when the run is over."""
    strategy, learner = penalty_of(20.0)
    for rate, expected in ((0.04, 0), (0.1, 1), (0.05, 0), (0.1, 0), (0.09, 0)):
        learner.optimizer.param_groups[0]["lr"] = rate
        with warnings.catch_warnings(record=True) as caught:
            strategy.before_update(learner)
        assert [warning.category for warning in caught] == [Remark] * expected
        assert all("strategy.clamp=true" in str(warning.message) for warning in caught)
    (warning,) = strategy.warnings()
    assert warning.startswith("overshoot: ηλA up to 2 (layer ")
    learner.optimizer.param_groups[0]["lr"] = 0.11
    strategy.before_update(learner)
    assert strategy.warnings()[0].startswith("unstable: ηλA up to 2.2 (layer ")


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.5, False), (0.9, False), (0.5, True), (0.9, True)])
def test_steps_diverge_where_the_warning_says(momentum: float, nesterov: bool) -> None:
    """SGD itself on ½θ², at a learning rate just below the limit and just above."""
    for share, stable in ((0.98, True), (1.02, False)):
        weight = torch.nn.Parameter(torch.ones((), dtype=torch.float64))
        optimizer = torch.optim.SGD([weight], 1.0, momentum, nesterov=nesterov)
        optimizer.param_groups[0]["lr"] = share * stable_up_to(optimizer.param_groups[0])
        for _ in range(1000):
            weight.grad = weight.detach().clone()
            optimizer.step()
        assert (abs(float(weight.detach())) < 1) is stable


def test_a_penalty_within_its_range_says_nothing() -> None:
    quiet = [penalty_of(5.0), penalty_of(20.0, clamp=True), penalty_of(20.0)]
    adam: Any = quiet[2][1]
    adam.optimizer = torch.optim.Adam(adam.model.parameters(), 0.1)  # its steps are not ηλA of the way
    for strategy, learner in quiet:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            strategy.before_update(learner)
        assert strategy.warnings() == []


@pytest.mark.parametrize("clamp", [False, True])
def test_penalties_without_the_half_are_twice_as_stiff(clamp: bool) -> None:
    strategy, learner = penalty_of(8.0, doubled=True, clamp=clamp)
    strategy.before_update(learner)
    assert strategy.warnings() == [] if clamp else "up to 1.6" in strategy.warnings()[0]
    assert float(strategy.strengths[0]) == pytest.approx(10.0 if clamp else 16.0)


def test_what_holds_nothing_says_that_it_never_fired() -> None:
    assert QuadraticPenalty(Given([0.0]), Anchor("sum"), 1.0, EVERYTHING).warnings() == [], "there was one stage"
    plain = {"optimizer": {"momentum": 0.0}, "batch_size": 64}  # one step an epoch, downhill
    assert kept({"name": "si", "parity": True}, plain).warnings()[0].startswith("never fired: every importance was 0")
    assert kept({"name": "si-fixed", "parity": True}, plain).warnings()[0].startswith("never fired: at each stage")
    assert kept({"name": "si", "lam": 0.0}).warnings() == []
    for name in ("si", "si-fixed", "rwalk-fixed", "l2-fixed"):
        assert kept({"name": name}).warnings() == []


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ({"name": "ewc", "lam": -1}, r"strategy\.lam: expected greater than or equal to 0, got -1"),
        ({"name": "si", "form": "batch"}, r"Unknown option 'strategy\.form'"),
        ({"name": "l2-fixed", "lam": 1}, r"Unknown option 'strategy\.lam'"),
        ({"name": "ewc", "fisher": "full"}, r"strategy\.fisher: expected 'exact', 'sampled'"),
        ({"name": "si", "signed": True, "accumulate": "separate"}, r"strategy\.signed"),
        ({"name": "si", "signed": True, "balanced": True}, r"strategy\.signed"),
        ({"name": "si", "signed": True, "parity": True}, r"strategy\.signed.*strategy\.parity"),
        ({"name": "ewc", "include_head": "some"}, r"strategy\.include_head: .*'auto'"),
        ({"name": "rwalk", "accumulate": "sum"}, r"Unknown option 'strategy\.accumulate'"),
    ],
)
def test_what_a_method_cannot_use_is_refused(strategy: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run_small(strategy)


OPTIONS: list[dict[str, Any]] = [
    *({key: True} for key in ("balanced", "parity")),
    *({key: False} for key in ("include_head", "include_norm")),
]
ACCUMULATE = [{"accumulate": kind} for kind in ("separate", "online", "sum", "mean", "normalised")]
WALK: list[dict[str, Any]] = [{"negative": "interval"}, {"normalise": "min-max"}, {"interval": 3}]


@pytest.mark.parametrize("importance", ["ewc", "mas", "si", "rwalk", "l2", "random"])
@pytest.mark.parametrize("form", ["", "-fixed"])
def test_every_option_of_every_form_trains(importance: str, form: str) -> None:
    """With a norm layer, one head and strengths that show, no option is without effect but those named."""
    network = {"model": {"norm": "batch"}, "scenario": {"incremental": "domain"}, "batch_size": 16}  # one head
    network |= {"optimizer": {"momentum": 0.9}}  # without, no path goes uphill
    strong: dict[str, Any] = {} if form else {"lam": {"l2": 5.0, "random": 5.0, "rwalk": 5.0}.get(importance, 300.0)}
    strong |= {"interval": 2} if importance == "rwalk" else {}
    found = {}
    for options in OPTIONS + (WALK if importance == "rwalk" else ACCUMULATE) + ([] if form else [{"clamp": True}]):
        result = run_small({"name": importance + form} | strong | options, network)
        found[str(options)] = result.diagnostics["training_loss"] if result.status == "ok" else result.reason
    default = run_small({"name": importance + form} | strong, network).diagnostics["training_loss"]
    same = {options for options, losses in found.items() if losses == default}
    usual = {"ewc": "separate", "mas": "sum", "si": "sum"}.get(importance, "mean") if not form else "mean"
    without = {str({"accumulate": usual}), str({"normalise": "min-max"})}  # pixels that are always black
    if importance == "l2":  # A = 1 everywhere, and ½·2 with parity
        without |= {str({key: True}) for key in ("balanced", "parity")}
        without |= {str({"accumulate": "mean"}), str({"accumulate": "separate"})}
    assert same <= without | {str({"clamp": True}), str({"accumulate": "online"}), str({"accumulate": "sum"})}
