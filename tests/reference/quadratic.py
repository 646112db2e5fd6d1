"""The quadratic family once more, from the papers: dictionaries of weights, a loop of its own, nothing in place."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tests.reference.tape import Named, Stage, Tape


def running(old: Tensor, new: Tensor) -> Tensor:
    """A running mean."""
    return 0.8 * new + 0.2 * old


@dataclass
class Method:
    """What is replayed: an importance, as penalty or interpolation, and the settings of the run."""

    importance: str
    fixed: bool = False
    parity: bool = False
    form: str = "batch"
    fisher: str = "exact"
    accumulate: str = "mean"
    gamma: float = 1.0
    lam: float = 0.0
    clamp: bool = False
    include_head: bool | str = "auto"
    interval: int = 10
    negative: str = "task"
    normalise: str = "max"
    lr: float = 0.05
    momentum: float = 0.0
    schedule: str = "constant"


def logits(weights: Named, x: Tensor, head: int | None) -> Tensor:
    """A network with one hidden layer, or with two convolutions, each pooled, and one hidden layer behind them."""
    layers = sorted({int(name.split(".")[1]) for name in weights if name.startswith("backbone")})
    hidden = x
    for layer in layers:
        weight, bias = weights[f"backbone.{layer}.weight"], weights[f"backbone.{layer}.bias"]
        if weight.dim() == 4:
            hidden = functional.max_pool2d(functional.conv2d(hidden, weight, bias, padding=2).relu(), 2, ceil_mode=True)
        else:
            hidden = functional.linear(hidden.flatten(1), weight, bias).relu()
    prefix = next(
        p for p in (f"classifier.{head}.", "classifier.classifier.", "classifier.") if p + "weight" in weights
    )
    return functional.linear(hidden, weights[prefix + "weight"], weights[prefix + "bias"])


def gradient(weights: Named, scalar: Callable[[Named], Tensor]) -> Named:
    """∂scalar/∂weights, 0 where a weight has no part in it."""
    free = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
    found = torch.autograd.grad(scalar(free), list(free.values()), allow_unused=True)
    return {n: torch.zeros_like(w) if g is None else g for (n, w), g in zip(weights.items(), found, strict=True)}


class Replay:
    """A run: ``steps`` gives all weights after each of its steps."""

    def __init__(self, method: Method, tape: Tape) -> None:
        self.method, self.tape = method, tape
        self.weights = dict(tape.stages[0].start)
        self.past: list[tuple[Named, Named]] = []  # A and θ* of each task, as accumulated
        self.kept: dict[str, Any] = {}  # of the importance, over tasks
        self.largest = 0.0  # ηλA

    def steps(self) -> Iterator[Named]:
        for number, stage in enumerate(self.tape.stages):
            yield from self.stage(number, stage)

    def stage(self, number: int, stage: Stage) -> Iterator[Named]:
        self.number, self.current = number, stage
        self.head = stage.head if self.tape.heads else None
        self.grow(stage.start)
        m, self.begin = self.method, dict(self.weights)
        self.new: dict[str, Any] = {"e": self.zeros(), "intervals": [], "score": self.zeros(), "omega": self.zeros()}
        velocity, k = self.zeros(), 0
        for epoch in stage.epochs:
            self.epoch_begin = dict(self.weights)
            for x, y in epoch:
                left = {"constant": 1.0, "linear": 1 - k / stage.steps}.get(m.schedule)
                rate = m.lr * (left if left is not None else (1 + math.cos(math.pi * k / stage.steps)) / 2)
                task = gradient(self.weights, lambda w: functional.cross_entropy(logits(w, x, self.head), y))  # noqa: B023
                whole = {name: g + self.pull(name, rate) for name, g in task.items()}
                before = dict(self.weights)
                for name, g in whole.items():
                    velocity[name] = m.momentum * velocity[name] + g
                    self.weights[name] = self.weights[name] - rate * velocity[name]
                k += 1
                self.observe(x, task, whole, before, k)
                if m.fixed and self.past:
                    self.go_back()
                yield dict(self.weights)
        self.remember(k)

    def zeros(self) -> Named:
        return {name: torch.zeros_like(weight) for name, weight in self.weights.items()}

    def grow(self, start: Named) -> None:
        """A classifier that has grown is taken from the recording; nothing is known of its new rows."""
        self.weights = {n: w if len(w) > len(self.weights[n]) else self.weights[n] for n, w in start.items()}
        for importances, anchors in self.past:
            for name in importances:
                new = start[name][len(anchors[name]) :]
                anchors[name] = torch.cat([anchors[name], new])
                importances[name] = torch.cat([importances[name], torch.zeros_like(new)])
        for name in ("f", "fisher", "score"):
            for key, value in self.kept.get(name, {}).items():
                self.kept[name][key] = torch.cat([value, torch.zeros_like(start[key][len(value) :])])

    def protected(self) -> list[str]:
        """All weights, but heads of their own."""
        head = not self.tape.heads if self.method.include_head == "auto" else self.method.include_head
        return [name for name in self.weights if head or not name.startswith("classifier")]

    def pull(self, name: str, rate: float) -> Tensor:
        """Σ_t λA_t(θ − θ_t), with λ doubled where there is no ½ and ηλA at most 1 where clamped."""
        m, total = self.method, torch.zeros_like(self.weights[name])
        if m.fixed or not self.past or name not in self.protected():
            return total
        for importances, anchors in self.past:
            strength = importances[name] * m.lam * (2 if m.parity else 1)
            if m.clamp:
                strength = torch.minimum(strength, torch.full_like(strength, 1 / rate))
            self.largest = max(self.largest, rate * float(strength.max()))
            total = total + strength * (self.weights[name] - anchors[name])
        return total

    def go_back(self) -> None:
        ((importances, anchors),) = self.past
        alphas = self.importance()
        for name in self.protected():
            old, new = importances[name].sqrt(), alphas[name].sqrt()
            share = torch.where(old + new > 0, old / (old + new), 1.0)
            if self.number and name.startswith("classifier"):  # rows that are new are free
                share[len(self.tape.stages[self.number - 1].start[name]) :] = 0.0
            self.weights[name] = share * anchors[name] + (1 - share) * self.weights[name]

    # Importances.

    def observe(self, x: Tensor, task: Named, whole: Named, before: Named, k: int) -> None:
        """After the optimiser's step."""
        m, e = self.method, self.new["e"]
        if m.importance == "random" and m.fixed and m.parity:
            self.new["drawn"] = self.draw(f", step {k}")
        if m.importance == "mas" and m.parity:
            second = gradient(self.weights, lambda w: (logits(w, x, self.head) ** 2).sum())
        if m.importance == "mas" and not m.parity:
            second = gradient(before, lambda w: (logits(w, x, self.head) ** 2).sum() / len(x))
        for name, weight in self.weights.items():
            g = whole[name] if m.parity else task[name]
            match m.importance:
                case "ewc":
                    e[name] = running(e[name], g**2)
                case "mas":
                    e[name] = running(e[name], (second[name] + (g if m.parity else 0)).abs())
                case "si" | "rwalk" if m.parity:
                    e[name] = running(e[name], (g * (weight - self.epoch_begin[name])).clamp(min=0))
                    f = self.kept.setdefault("f", self.zeros())
                    f[name] = running(f[name], (g * weight) ** 2)
                case "si":
                    self.new["omega"][name] = self.new["omega"][name] - g * (weight - before[name])
        if m.importance == "rwalk" and not m.parity:
            self.new["intervals"].append((task, before, dict(self.weights)))
            if len(self.new["intervals"]) == m.interval:
                self.end_interval()

    def end_interval(self) -> None:
        m, steps = self.method, self.new["intervals"]
        fisher = self.kept.setdefault("fisher", self.zeros())
        for name in self.weights:
            fisher[name] = 0.9 * sum(g[name] ** 2 for g, _, _ in steps) / len(steps) + 0.1 * fisher[name]
            fell = sum(-g[name] * (after[name] - before[name]) for g, before, after in steps)
            move = steps[-1][2][name] - steps[0][1][name]
            score = fell / (0.5 * fisher[name] * move**2 + 1e-3)
            score = score.clamp(min=0) if m.negative == "interval" else score
            self.new["score"][name] = self.new["score"][name] + score
        self.new["intervals"] = []

    def importance(self) -> Named:
        """Of the stage so far."""
        m, e = self.method, self.new["e"]
        moved = {name: (weight - self.begin[name]) ** 2 for name, weight in self.weights.items()}
        match m.importance:
            case "si" if m.parity:
                return {n: e[n] / (moved[n] + 1e-10) for n in e}
            case "si":
                return {n: (self.new["omega"][n] / (moved[n] + 0.1)).clamp(min=0) for n in e}
            case "rwalk" if m.parity:
                f = self.kept["f"]
                return {n: f[n] + e[n] / (f[n] * moved[n] + 1e-10) for n in e}
            case "rwalk":
                return self.walk(self.new["score"])
            case "l2":
                return {n: torch.full_like(w, 0.5 if m.parity else 1.0) for n, w in self.weights.items()}
            case "random":
                drawn: Named = self.new["drawn"] if "drawn" in self.new else self.draw("")
                return drawn
        whole: Named = e
        return whole

    def walk(self, score: Named) -> Named:
        def scaled(values: Named) -> Named:
            everything = torch.cat([values[name].flatten() for name in self.protected()])
            low = everything.min() if self.method.normalise == "min-max" else torch.zeros(())
            spread = everything.max() - low
            return {n: (v - low) / spread if spread > 0 else torch.zeros_like(v) for n, v in values.items()}

        fisher, positive = (scaled(v) for v in (self.kept.get("fisher", self.zeros()), relu(score)))
        return {name: fisher[name] + positive[name] for name in self.weights}

    def draw(self, rest: str) -> Named:
        random = self.tape.random(f"importance of stage {self.number}{rest}")
        return {name: torch.rand(self.weights[name].shape, generator=random).double() for name in self.protected()}

    def of_the_data(self) -> Named:
        """Means over the stage's samples, one at a time."""
        m, w, total = self.method, self.weights, self.zeros()
        data = list(zip(self.current.inputs[:, None], self.current.labels, strict=True))
        if m.fisher == "batched" and m.importance == "ewc":
            size = len(self.current.epochs[0][0][1])
            chunks = list(zip(self.current.inputs.split(size), self.current.labels.split(size), strict=True))
            for x, y in chunks:
                g = gradient(w, lambda w: functional.cross_entropy(logits(w, x, self.head), y))  # noqa: B023
                total = {n: total[n] + g[n] ** 2 / len(chunks) for n in total}
            return total
        for x, label in data:
            if m.importance == "mas":
                g = gradient(w, lambda w: (logits(w, x, self.head) ** 2).sum())  # noqa: B023
                total = {n: total[n] + g[n].abs() / len(data) for n in total}
                continue
            p = logits(w, x, self.head).softmax(1)[0]
            labels = enumerate(p) if m.fisher == "exact" else [(int(label), 1.0)]
            for c, share in labels:
                g = gradient(w, lambda w: logits(w, x, self.head).log_softmax(1)[0, c])  # noqa: B023
                total = {n: total[n] + share * g[n] ** 2 / len(data) for n in total}
        return total

    def remember(self, steps: int) -> None:
        """A and θ* after a task."""
        m, anchors = self.method, dict(self.weights)
        online = m.form == "online" or m.importance in ("si", "rwalk")
        if m.importance == "rwalk" and not m.parity:
            if steps < m.interval:
                self.end_interval()
            old, now = self.kept.get("score"), self.new["score"]
            self.kept["score"] = {n: now[n] if old is None else (old[n] + now[n]) / 2 for n in now}
            self.past = [(self.walk(self.kept["score"]), anchors)]
            return
        self.new.pop("drawn", None)  # A is drawn apart from the last step's α
        new = self.of_the_data() if m.importance in ("ewc", "mas") and m.form == "batch" else self.importance()
        if m.accumulate == "separate" and not m.parity:
            self.past.append((new, anchors))
            return
        if not self.past:
            self.past = [({n: a / 2 for n, a in new.items()} if m.parity and online else new, anchors)]
            return
        ((old, _),) = self.past
        total = {"sum": 1.0, "online": m.gamma}.get(m.accumulate)
        if m.parity or total is None:
            self.past = [({n: (old[n] + new[n]) / 2 for n in new}, anchors)]
        else:
            self.past = [({n: total * old[n] + new[n] for n in new}, anchors)]


def relu(values: Named) -> Named:
    """max(v, 0)."""
    return {name: value.clamp(min=0) for name, value in values.items()}
