"""Remedies of plasticity and regularisers against plain implementations: convolutions, pooling, heads of their own,
momentum, several stages, unequal classes; every weight to 1e-6 after every run.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from clbench.models.network import MultiHeadNetwork
from clbench.optimizers import AdaptiveGradientClipping
from clbench.strategies import dash
from clbench.strategies.continual_backprop import ContinualBackprop
from clbench.strategies.dash import Dash
from clbench.strategies.fire import Fire
from clbench.strategies.hare_tortoise import HareTortoise
from clbench.strategies.jumpstart import Jumpstart
from clbench.strategies.l2_init import L2Init
from clbench.strategies.orthogonal import Orthogonal
from clbench.strategies.parseval import Parseval, SpectralReg
from clbench.strategies.redo import ReDo
from clbench.strategies.shrink_perturb import ShrinkPerturb
from clbench.strategies.snr import SelfNormalizedResets
from clbench.strategies.upgd import Maximum, Upgd
from clbench.strategies.weight_clipping import WeightClipping
from tests.helpers import FakeLearner, task_data
from tests.reference.plain import Plain, Replacing, Stage, Units

LR = 0.05
LAYERS = ("backbone.0", "backbone.3", "backbone.7", "classifier.0", "classifier.1")
BACKBONE = LAYERS[:3]


def network(activation: type[nn.Module] = nn.ReLU) -> Any:
    """conv – relu – pool – conv – relu – pool – flatten – linear – relu, and two heads."""
    torch.manual_seed(0)
    first = [nn.Conv2d(1, 3, 3, padding=1), activation(), nn.MaxPool2d(2)]
    second = [nn.Conv2d(3, 4, 3, padding=1), activation(), nn.MaxPool2d(2), nn.Flatten()]
    backbone = nn.Sequential(*first, *second, nn.Linear(16, 5), activation())
    return MultiHeadNetwork(backbone, 5, 3, heads=2).double()


def stages(epochs: int = 3, batches: int = 3, sizes: tuple[int, ...] = (1, 1, 1)) -> list[Stage]:
    """Stages that use heads 0, 1 and 0 again; of three classes one is rare. ``sizes``: how many times the batches."""
    random = torch.Generator().manual_seed(1)
    made = []
    for number, size in enumerate(sizes):
        labels = torch.tensor([0, 0, 0, 1, 1, 2])
        # what float32 holds exactly, and black margins, so that places tie
        images = [torch.randn(6, 1, 8, 8, generator=random).double() for _ in range(batches * size)]
        for image in images:
            image[:, :, :, 5:] = 0.0
        made.append(Stage(number % 2, [[(image, labels) for image in images]] * epochs))
    return made


class Learner(FakeLearner):
    """In double precision, with heads."""

    def logits(self, x: Tensor, heads: Any, parameters: dict[str, Tensor] | None = None) -> Tensor:
        """Of the current stage's head."""
        found: Tensor = self.model(x.double(), heads)
        return found


def drive(method: Any, model: nn.Module, course: list[Stage], momentum: float = 0.9) -> None:
    """Train a network with a method, as the engine does."""
    learner: Any = Learner(model)
    learner.optimizer = torch.optim.SGD(model.parameters(), LR, momentum)
    learner.is_training = True
    looks = [hook for hook in ("pass_begins", "pass_ends") if hasattr(method, hook)]
    for number, stage in enumerate(course):
        once = stage.epochs[0]
        images, labels = (torch.cat(parts) for parts in zip(*once, strict=True))
        learner.data = task_data(images, labels, stage.head)
        learner.data.heads = torch.full_like(labels, stage.head)
        learner.stage, learner.stage_steps = number, len(once) * len(stage.epochs)
        method.before_training_exp(learner)
        for batches in stage.epochs:
            for x, y in batches:
                for hook in looks[:1]:
                    getattr(method, hook)(learner)
                output = model(x, stage.head)
                for hook in looks[1:]:
                    getattr(method, hook)(learner)
                learner.optimizer.zero_grad()
                nn.functional.cross_entropy(output, y).backward()
                method.before_update(learner)
                learner.optimizer.step()
                method.after_update(learner)
            method.after_training_epoch(learner)
        method.after_training_exp(learner)


def same(
    method: Any,
    expect: Callable[[Plain], None],
    course: list[Stage] | None = None,
    momentum: float = 0.9,
    begun: Any = None,
) -> Any:
    """Train one network with the method, a copy by the plain loop, and compare every weight."""
    course = stages() if course is None else course
    begun = network() if begun is None else begun
    model, naive = copy.deepcopy(begun), copy.deepcopy(begun)
    plain = Plain(copy.deepcopy(begun), LR, momentum)
    expect(plain)
    plain.train(course)
    drive(method, model, course, momentum)
    Plain(naive, LR, momentum).train(course)
    for (name, found), expected in zip(model.named_parameters(), plain.model.parameters(), strict=True):
        assert torch.allclose(found, expected, atol=1e-6, rtol=1e-6), f"{name}: {found} instead of {expected}"
    assert any(
        float((a - b).detach().abs().max()) > 1e-5 for a, b in zip(model.parameters(), naive.parameters(), strict=True)
    ), "the method did nothing"
    return model


def weights(plain: Plain, layers: tuple[str, ...] = LAYERS) -> list[Tensor]:
    """The weights of layers."""
    named = dict(plain.model.named_parameters())
    return [named[layer + ".weight"] for layer in layers]


def matrix(weight: Tensor) -> Tensor:
    """Kernels as rows."""
    return weight.reshape(len(weight), -1)


# Regularisers.


def test_jumpstart_with_ties() -> None:
    """Every image is there twice, so that every extreme over the batch is: equal ones share the gradient."""
    lam, rho, ties = 0.5, 0.3, 0

    def extreme(values: Tensor, largest: bool) -> Tensor:
        best = (max if largest else min)(values.flatten().tolist())
        tied = values.flatten()[values.flatten() == best]
        assert len(tied) > 0
        nonlocal ties
        ties += len(tied) > 1
        return tied.mean()  # their value, its gradient shared

    def of_layer(z: Tensor) -> Tensor:
        total = torch.zeros((), dtype=z.dtype)
        for dim in (0, 1):
            for values in z.unbind(dim):
                high, low = extreme(values, True), extreme(values, False)
                total = total + (rho * (1 - high).relu() + (1 - rho) * (1 + low).relu()) / z.shape[dim]
        return total

    def expect(plain: Plain) -> None:
        backbone: Any = plain.model.backbone

        def penalty() -> Tensor:
            z = [backbone[: index + 1](plain.x) for index in (0, 3, 7)]
            return lam * torch.stack([of_layer(one) for one in z]).sum()

        plain.penalty = penalty

    course = stages(epochs=1)
    for stage in course:
        for x, _ in stage.epochs[0]:
            x[3:] = x[:3].clone()
    same(Jumpstart(lam=lam, rho=rho), expect, course)
    assert ties > 10


def test_l2_init_with_heads() -> None:
    """The head of another task is not pulled back to where it began: it stays to the bit."""

    def expect(plain: Plain) -> None:
        begun = [w.detach().clone() for w in plain.model.parameters()]
        plain.penalty = lambda: sum(
            (0.5 * 0.3 * (w - b).square().sum() for w, b in zip(plain.model.parameters(), begun, strict=True)),
            torch.zeros((), dtype=torch.float64),
        )

    same(L2Init(lam=0.3), expect)
    model, course = network(), stages()
    drive(L2Init(lam=0.3), model, course[:1])
    old = copy.deepcopy(model.classifier[0].state_dict())
    drive(L2Init(lam=0.3), model, [course[1]])
    assert all(torch.equal(old[name], value) for name, value in model.classifier[0].state_dict().items())


@pytest.mark.parametrize(("s", "layers"), [(2.0, BACKBONE), (0.5, BACKBONE), (1.0, LAYERS)])
def test_gram_matrix_penalties(s: float, layers: tuple[str, ...]) -> None:
    def expect(plain: Plain) -> None:
        def penalty() -> Tensor:
            total = torch.zeros((), dtype=torch.float64)
            for weight in weights(plain, layers):
                rows = matrix(weight)
                for i in range(len(rows)):
                    for j in range(len(rows)):
                        total = total + ((rows[i] * rows[j]).sum() - s * (i == j)) ** 2
            return 0.01 * total

        plain.penalty = penalty

    same(Orthogonal(lam=0.01) if layers is LAYERS else Parseval(lam=0.01, s=s), expect, stages(epochs=1))


def begun_vectors(plain: Plain, size: Callable[[Tensor], int]) -> list[Tensor]:
    random = torch.Generator().manual_seed(len("power iteration"))
    return [torch.randn(size(weight), generator=random).double() for weight in weights(plain)]


def in_use(plain: Plain, index: int) -> bool:
    return index < len(BACKBONE) or index == len(BACKBONE) + plain.head


def test_orthogonal_in_its_spectral_form() -> None:
    """λσ(WWᵀ − I) by autograd, with the vectors of power iterations written out."""

    def expect(plain: Plain) -> None:
        vectors: list[Tensor] = []

        def begin(number: int, stage: Stage) -> None:
            vectors[:] = begun_vectors(plain, lambda weight: min(matrix(weight).shape))

        def penalty() -> Tensor:
            total = torch.zeros((), dtype=torch.float64)
            for index, weight in enumerate(weights(plain)):
                if in_use(plain, index):
                    rows = matrix(weight)
                    gram = rows.T @ rows if rows.shape[0] > rows.shape[1] else rows @ rows.T
                    apart = gram - torch.eye(len(gram), dtype=torch.float64)
                    v = vectors[index] / vectors[index].norm()
                    u = apart.detach() @ v
                    u = u / u.norm()
                    vectors[index] = u
                    total = total + u @ apart @ v
            return 0.05 * total

        plain.stage_begins, plain.penalty = begin, penalty

    same(Orthogonal(lam=0.05, form="spectral"), expect)


def test_the_spectral_form_comes_to_the_largest_eigenvalue() -> None:
    from clbench.strategies.orthogonal import spectral_gradient

    torch.manual_seed(0)
    for shape, scale in (((4, 7), 1.0), ((7, 4), 0.1), ((3, 2, 2, 2), 0.7)):
        weight = (scale * torch.randn(shape, dtype=torch.float64)).requires_grad_()
        rows = matrix(weight)
        small = rows @ rows.T if rows.shape[0] <= rows.shape[1] else rows.T @ rows
        largest = torch.linalg.eigvalsh(small - torch.eye(len(small), dtype=torch.float64)).abs().max()
        (exact,) = torch.autograd.grad(largest, weight)
        v = torch.randn(len(small), dtype=torch.float64)
        for _ in range(3000):
            found, v = spectral_gradient(weight.detach(), v, 1.0)
        torch.testing.assert_close(found, exact, atol=1e-5, rtol=1e-5)


def test_spectral_regularisation() -> None:
    def expect(plain: Plain) -> None:
        vectors: list[Tensor] = []

        def begin(number: int, stage: Stage) -> None:
            vectors[:] = begun_vectors(plain, len)

        def penalty() -> Tensor:
            total = torch.zeros((), dtype=torch.float64)
            for index, weight in enumerate(weights(plain)):
                if in_use(plain, index):
                    rows = matrix(weight)
                    v = rows.detach().T @ vectors[index]
                    v = v / v.norm()
                    u = rows.detach() @ v
                    vectors[index] = u = u / u.norm()
                    total = total + ((u @ rows @ v) ** 3 - 1) ** 2
            return 0.02 * total

        plain.stage_begins, plain.penalty = begin, penalty

    same(SpectralReg(lam=0.02, k=3), expect)


def test_weight_clipping() -> None:
    def expect(plain: Plain) -> None:
        @torch.no_grad()
        def clip() -> None:
            named = dict(plain.model.named_parameters())
            for layer in LAYERS:
                bound = 0.8 / math.sqrt(named[layer + ".weight"][0].numel())
                for part in (".weight", ".bias"):
                    values = named[layer + part]
                    values.copy_(torch.tensor([min(max(v, -bound), bound) for v in values.flatten()]).view_as(values))

        plain.stepped = clip

    method = WeightClipping(zeta=0.8)
    same(method, expect, stages(epochs=1))
    assert method.warnings() == []


def test_adaptive_clipping_takes_a_bias_for_one_unit() -> None:
    tau = 0.05

    def expect(plain: Plain) -> None:
        def clip(gradients: dict[str, Tensor]) -> None:
            named = dict(plain.model.named_parameters())
            for name, g in gradients.items():
                if name.startswith("classifier"):
                    continue
                units = [slice(None)] if name.endswith("bias") else [slice(i, i + 1) for i in range(len(g))]
                for unit in units:
                    most = tau * max(math.sqrt(float((named[name].detach()[unit] ** 2).sum())), 1e-3)
                    norm = math.sqrt(float((g[unit] ** 2).sum()))
                    if norm > most:
                        g[unit] *= most / norm

        plain.change = clip

    same(AdaptiveGradientClipping(tau), expect)


# UPGD.


def plain_upgd(corrected: bool, beta: float) -> Callable[[Plain], None]:
    def expect(plain: Plain) -> None:
        utility: dict[str, Tensor] = {}
        seen: dict[str, int] = {}

        def change(gradients: dict[str, Tensor]) -> None:
            named = dict(plain.model.named_parameters())
            for name, g in gradients.items():
                seen[name] = seen.get(name, 0) + 1
                utility[name] = beta * utility.get(name, 0.0) + (1 - beta) * (-g * named[name].detach())
            highest = max(float(utility[name].max()) for name in gradients)
            for name, g in gradients.items():
                correction = 1.0 if corrected else 1 - beta ** seen[name]
                g *= 1 - torch.sigmoid(utility[name] / correction / highest)

        plain.change = change

    return expect


def test_upgd_in_both_forms() -> None:
    """300 steps over two heads; the two forms end in different weights."""
    course = stages(epochs=50, sizes=(1, 1))
    ends = []
    forms: tuple[Maximum, ...] = ("corrected", "uncorrected")
    for maximum in forms:
        method = Upgd(beta=0.999, noise=0.0, maximum=maximum)
        model = same(method, plain_upgd(maximum == "corrected", 0.999), course, momentum=0.0)
        ends.append(torch.cat([w.detach().flatten() for w in model.parameters()]))
    assert float((ends[0] - ends[1]).norm() / ends[0].norm()) > 0.05


# Units.


def units(plain: Plain) -> list[Units]:
    """The hidden layers; what is read of a layer is its map after pooling."""
    backbone: Any = plain.model.backbone

    def read(end: int) -> Callable[[Tensor], Tensor]:
        return lambda x: backbone[:end](x).detach()

    return [
        Units("backbone.0", ["backbone.3"], read(3)),
        Units("backbone.3", ["backbone.7"], read(6)),
        Units("backbone.7", ["classifier.0", "classifier.1"], read(9)),
    ]


def seeded(purpose: str) -> torch.Generator:
    return torch.Generator().manual_seed(len(purpose))


def test_redo_before_pooling() -> None:
    def expect(plain: Plain) -> None:
        replacing = Replacing(plain, units(plain))
        steps, images = 0, torch.empty(0)

        def begin(number: int, stage: Stage) -> None:
            nonlocal images, steps
            replacing.random = seeded(f"redo of stage {number}")
            images, steps = torch.cat([x for x, _ in stage.epochs[0]]), 0

        def stepped() -> None:
            nonlocal steps
            steps += 1
            if steps % 3 == 0:  # 3 looks in 9 steps
                found = []
                for layer in replacing.layers:
                    means = [float(values.abs().mean()) for values in layer.values(images)]
                    found.append([i for i, mean in enumerate(means) if mean / (sum(means) / len(means)) <= 0.7])
                assert any(found)
                for layer, dormant in reversed(list(zip(replacing.layers, found, strict=True))):
                    replacing.replace(layer, dormant, zero_bias=False)

        plain.stage_begins, plain.stepped = begin, stepped

    method = ReDo(looks=3, threshold=0.7)
    same(method, expect)
    assert method.looked == 9
    assert method.warnings() == []


def watched(plain: Plain, values: Callable[[Tensor], list[Any]]) -> list[Any]:
    """A list that has, after each pass of the network, what ``values`` finds of its inputs."""
    read: list[Any] = []
    whole = plain.model.forward

    def forward(x: Tensor, head: int) -> Any:
        read[:] = values(x)
        return whole(x, head)

    plain.model.forward = forward
    return read


def test_self_normalised_resets_before_pooling() -> None:
    rate, every, least = 0.3, 4, 2

    def expect(plain: Plain) -> None:
        replacing = Replacing(plain, units(plain))
        past = [[{"silent": 0, "fired": 0, "age": 0} for _ in range(n)] for n in (3, 4, 5)]
        steps = 0
        read = watched(plain, lambda x: [layer.values(x) for layer in replacing.layers])

        def begin(number: int, stage: Stage) -> None:
            replacing.random = seeded(f"self-normalised resets of stage {number}")

        def stepped() -> None:
            nonlocal steps
            steps += 1
            for layer, known, values in zip(replacing.layers, past, read, strict=True):
                leaving = []
                for index, (one, h) in enumerate(zip(known, values, strict=True)):
                    fires = max(h.tolist()) > 0
                    one["age"] += 1
                    one["silent"] = 0 if fires else one["silent"] + 1
                    one["fired"] += fires
                    gap = max(max(one["age"] - one["silent"], 1) / max(one["fired"], 1), 1)
                    unusual = (1 - 1 / gap) ** one["silent"] < rate
                    if steps % every == 0 and unusual and one["silent"] >= least:
                        leaving.append(index)
                        known[index] = {"silent": 0, "fired": 0, "age": 0}
                if steps % every == 0:
                    replacing.replace(layer, leaving, zero_bias=False)

        plain.stage_begins, plain.stepped = begin, stepped

    method = SelfNormalizedResets(rate=rate, every=every, least=least)
    same(method, expect, dying())
    assert int(method.reset) > 0


def dying() -> list[Stage]:
    """Stages whose images become dark, so that units fall silent that were not."""
    course = stages(epochs=4)
    for stage in course[1:]:
        for epoch in stage.epochs:
            for x, _ in epoch:
                x.copy_(-x.abs())
    return course


def test_continual_backprop_before_pooling() -> None:
    rate, maturity, decay = 0.06, 3, 0.9

    def expect(plain: Plain) -> None:
        replacing = Replacing(plain, units(plain))
        counts = (3, 4, 5)
        mean, utility, age = ([[0.0] * n for n in counts] for _ in range(3))
        due, replaced = [0.0] * 3, 0
        read = watched(plain, lambda x: [layer.read(x) for layer in replacing.layers])

        def begin(number: int, stage: Stage) -> None:
            replacing.random = seeded(f"continual backprop of stage {number}")

        @torch.no_grad()
        def stepped() -> None:
            nonlocal replaced
            named, leaving = replacing.named, []
            for index, (layer, values) in enumerate(zip(replacing.layers, read, strict=True)):
                if values.dim() == 2:
                    values = values.reshape(len(values), counts[index], -1)
                elif layer.readers == ["backbone.7"]:
                    values = values.flatten(2)  # each place has weights of its own
                else:
                    values = values.permute(0, 2, 3, 1).reshape(-1, counts[index], 1)
                for unit in range(counts[index]):
                    h = values[:, unit]
                    age[index][unit] += 1
                    corrected = 1 - decay ** age[index][unit]
                    mean[index][unit] = decay * mean[index][unit] + (1 - decay) * float(h.mean())
                    apart = (h - mean[index][unit] / corrected).abs().mean(0)
                    contribution = 0.0
                    for reader, columns in replacing.columns(layer, unit):
                        weight = named[reader + ".weight"]
                        for place, column in enumerate(columns):
                            contribution += float(weight[:, column].abs().mean() * apart[place]) / len(columns)
                    size = float(named[layer.name + ".weight"][unit].abs().mean())
                    utility[index][unit] = decay * utility[index][unit] + (1 - decay) * contribution / size
                mature = [unit for unit in range(counts[index]) if age[index][unit] > maturity]
                due[index] += rate * len(mature)
                count = int(due[index])
                due[index] -= count
                worth = sorted((utility[index][unit] / (1 - decay ** age[index][unit]), unit) for unit in mature)
                leaving.append([unit for _, unit in worth[:count]])
            for index, (layer, old) in enumerate(zip(replacing.layers, leaving, strict=True)):
                for unit in old:
                    gave = mean[index][unit] / (1 - decay ** age[index][unit])
                    for reader, columns in replacing.columns(layer, unit):
                        named[reader + ".bias"].add_(named[reader + ".weight"][:, columns].flatten(1).sum(1) * gave)
                    mean[index][unit] = utility[index][unit] = age[index][unit] = 0.0
                if old:
                    replaced += len(old)
                    replacing.replace(layer, old, zero_bias=True)

        plain.stage_begins, plain.stepped = begin, stepped

    method = ContinualBackprop(rate=rate, maturity=maturity, decay=decay)
    same(method, expect, begun=network(nn.Tanh))  # of dead units each is as useless as the other
    assert method.replaced > 3


# Between stages.


def test_fire_with_the_head_of_the_stage() -> None:
    def expect(plain: Plain) -> None:
        @torch.no_grad()
        def begin(number: int, stage: Stage) -> None:
            if number == 0:
                return
            plain.momenta.clear()
            for weight in weights(plain, (*BACKBONE, f"classifier.{stage.head}")):
                taps = weight[0, 0].numel()
                for index in range(taps):
                    tap = weight.reshape(*weight.shape[:2], taps)[:, :, index].clone()
                    x = tap / math.sqrt(float((tap**2).sum()))
                    for _ in range(10):
                        x = 1.5 * x - 0.5 * (x @ x.T @ x)
                    out, inputs = x.shape
                    weight.view(out, inputs, taps)[:, :, index] = x * math.sqrt(out / inputs) / taps

        plain.stage_begins = begin

    same(Fire(), expect)


def test_hare_and_tortoise_by_epochs() -> None:
    """Set back after the first, third and fifth epoch of each stage."""

    def expect(plain: Plain) -> None:
        slow = [w.detach().clone() for w in plain.model.parameters()]

        def stepped() -> None:
            for index, w in enumerate(plain.model.parameters()):
                slow[index] = 0.9 * slow[index] + 0.1 * w.detach()

        @torch.no_grad()
        def ended(epoch: int) -> None:
            if epoch in (0, 2, 4):
                for w, old in zip(plain.model.parameters(), slow, strict=True):
                    w.copy_(old)

        plain.stepped, plain.epoch_ended = stepped, ended

    same(HareTortoise(momentum=0.9, epochs=2), expect, stages(epochs=5))


def test_dash_by_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without batch_size a chunk is what the first stage had; its gradient may come in parts."""
    monkeypatch.setattr(dash, "PART", 5)

    def expect(plain: Plain) -> None:
        def begin(number: int, stage: Stage) -> None:
            if number == 0:
                return
            x, labels = (torch.cat(parts) for parts in zip(*stage.epochs[0], strict=True))
            named = dict(plain.model.named_parameters())
            smoothed: dict[str, Tensor] = {}
            for start in range(0, len(x), 18):
                output: Any = plain.model(x[start : start + 18], stage.head)
                loss = nn.functional.cross_entropy(output, labels[start : start + 18])
                found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
                for name, g in zip(named, found, strict=True):
                    if g is not None:
                        smoothed[name] = 0.7 * smoothed.get(name, torch.zeros_like(g)) - 0.3 * g
            with torch.no_grad():
                for name, direction in smoothed.items():
                    weight = named[name]
                    rows = weight.reshape(-1, weight[0, 0].numel() if weight.dim() == 4 else weight.shape[-1])
                    for w, d in zip(rows, direction.reshape(rows.shape), strict=True):
                        w *= min(max(float(w @ d) / max(float(w.norm() * d.norm()), 1e-12), 0.2), 1.0)

        plain.stage_begins = begin

    same(Dash(alpha=0.3, floor=0.2), expect, stages(epochs=1, sizes=(1, 2, 3)))


@pytest.mark.parametrize(
    ("samples", "first", "size"), [(300, 100, 100), (105, 100, 105), (95, 100, 95), (250, 100, 125)]
)
def test_a_chunk_is_as_large_as_the_first_stage(samples: int, first: int, size: int) -> None:
    assert dash.chunk_size(samples, first) == size


def test_shrink_and_perturb() -> None:
    def expect(plain: Plain) -> None:
        @torch.no_grad()
        def begin(number: int, stage: Stage) -> None:
            if number == 0:
                return
            plain.momenta.clear()
            torch.manual_seed(len(f"shrink-perturb of stage {number}"))
            named = dict(plain.model.named_parameters())
            for layer in LAYERS:
                bound = 1 / math.sqrt(named[layer + ".weight"][0].numel())
                for part in (".weight", ".bias"):
                    fresh = torch.empty_like(named[layer + part]).uniform_(-bound, bound)
                    named[layer + part].copy_(0.4 * named[layer + part] + 0.1 * fresh)

        plain.stage_begins = begin

    same(ShrinkPerturb(), expect)
