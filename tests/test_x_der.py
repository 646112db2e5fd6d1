"""X-DER against a second, plain implementation: samples one by one, the same batches, draws and chances."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from clbench.engine.learner import ResidentLearner
from clbench.strategies._sides import implanted
from tests.test_reference_memory import LR, Plain, Trained, train

ALPHA, BETA, GAMMA, ETA, MARGIN = 0.3, 0.7, 0.85, 0.2, 0.4
OPTIONS: dict[str, Any] = {
    "name": "x-der", "alpha": ALPHA, "beta": BETA, "gamma": GAMMA, "eta": ETA, "margin": MARGIN,
    "memory": 24, "batch": 8,
}  # fmt: skip
CLASS: dict[str, Any] = {"scenario": {"incremental": "class", "class_order": "random"}}


class Kept:
    """An exemplar."""

    def __init__(self, image: Tensor, label: int, z: Tensor) -> None:
        self.image, self.label, self.z = image, label, z
        self.steps = 0


def capped(z: Tensor, columns: list[int], right: float) -> Tensor:
    """Logits of some classes, at most γ times the right one where the largest tops it."""
    part = z[columns]
    top = float(part.max())
    return part * (GAMMA * right / top) if top > right else part


class Course:
    """The run gone through beside."""

    def __init__(self, trained: Trained) -> None:
        self.plain, self.trained = Plain(trained), trained
        self.rows = iter(trained.recorded.rows)
        self.memory: list[Kept] = []
        self.groups: list[list[int]] = []
        self.implants = 0

    def logits(self, images: list[Tensor]) -> Tensor:
        x = self.plain.inputs(torch.stack(images))
        return self.plain.logits(x, torch.zeros(len(x), dtype=torch.int64))

    def margin(self, z: Tensor, own: list[int], later: list[int]) -> Tensor:
        return (z[later].max() + MARGIN - z[own].max()).clamp_min(0)

    def stage(self, number: int, steps: list[dict[str, Any]], outputs: int) -> None:
        new = sorted(set(self.trained.data[number].labels.tolist()))
        old = [label for group in self.groups for label in group]
        later = [label for label in range(outputs) if label not in (*old, *new)]
        random = self.trained.learner.random(f"implants of stage {number}")
        half = len(steps) // 2  # two epochs
        chances = [torch.rand(half, 2, 8, generator=random) for _ in range(2)]
        for kept in self.memory:
            kept.steps = 0
        for position, step in enumerate(steps):
            z = self.plain.logits(step["x"], step["head"])
            labels = step["y"].tolist()
            terms = [-(one[new].log_softmax(0)[new.index(label)]) for one, label in zip(z, labels, strict=True)]
            loss = torch.stack(terms).mean()
            over = [self.margin(one, new, later) for one in z] if later else []
            drawn = [next(self.rows).tolist() for _ in range(2)] if self.memory else []
            seen = [self.logits([self.memory[row].image for row in rows]) for rows in drawn]
            if drawn:
                squares = [
                    (one - self.memory[row].z).square().mean() for one, row in zip(seen[0], drawn[0], strict=True)
                ]
                told = [
                    -(one[old].log_softmax(0)[old.index(self.memory[row].label)])
                    for one, row in zip(seen[1], drawn[1], strict=True)
                ]
                loss = loss + ALPHA * torch.stack(squares).mean() + BETA * torch.stack(told).mean()
                for which, rows in enumerate(drawn):
                    for one, row in zip(seen[which], rows, strict=True):
                        group = next(group for group in self.groups if self.memory[row].label in group)
                        if later and not (which and row in drawn[0]):
                            over.append(self.margin(one, group, later))
            above = [one for one in over if one > 0]
            if above:
                loss = loss + ETA * torch.stack(above).mean()
            self.plain.step(self.plain.gradient(loss), LR * (1 - position / len(steps)))
            for name, weight in step["weights"].items():
                torch.testing.assert_close(self.plain.w[name].detach(), weight, rtol=1e-5, atol=3e-6)
            for which, rows in enumerate(drawn):
                for place, row in enumerate(rows):
                    if not (which and row in drawn[0]):
                        kept = self.memory[row]
                        kept.steps += 1
                        if float(chances[position // half][position % half, which, place]) * kept.steps < 1:
                            self.implant(kept, seen[which][place].detach(), [*new, *later])
        self.groups.append(new)

    def implant(self, kept: Kept, now: Tensor, columns: list[int]) -> None:
        self.implants += 1
        kept.z[columns] = capped(now, columns, float(kept.z[kept.label]))

    def keep(self, images: Tensor, labels: Tensor, outputs: int) -> None:
        """The exemplars behind a stage, whichever were drawn: the older ones with their logits, the new with theirs."""
        old = [label for group in self.groups[:-1] for label in group]
        before, self.memory = self.memory, []
        for image, label, z in zip(images, labels.tolist(), self.logits([*images]).detach(), strict=True):
            if label in old:
                kept = next(one for one in before if torch.equal(one.image, image))
                self.implant(kept, z, [column for column in range(outputs) if column not in old])
            else:
                kept = Kept(image, label, z.clone())
                if old:
                    kept.z[old] = capped(z, old, float(z[label]))
            self.memory.append(kept)


def test_is_what_the_paper_and_the_authors_code_say(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    fit = ResidentLearner.fit

    def watched(self: ResidentLearner, experience: Any) -> None:
        fit(self, experience)
        (plugin,) = [one for one in self.plugins if hasattr(one, "exemplars")]
        data = plugin.exemplars.data
        found.append((data.samples.clone(), data.labels.clone(), plugin.logits.clone()))

    monkeypatch.setattr(ResidentLearner, "fit", watched)
    course = Course(train(OPTIONS, monkeypatch, CLASS))
    for number, steps in enumerate(course.trained.recorded.stages):
        images, labels, logits = found[number]
        course.stage(number, steps, logits.shape[1])
        course.keep(images, labels, logits.shape[1])
        for kept, z in zip(course.memory, logits, strict=True):
            torch.testing.assert_close(kept.z, z, rtol=1e-4, atol=1e-5)
    assert len(course.groups) == 3
    assert course.implants > 100
    assert next(course.rows, None) is None


def test_implanted_logits_do_not_top_the_right_one() -> None:
    now = torch.tensor([[1.0, 4.0, -1e9], [1.0, 2.0, 3.0]])
    found = implanted(now, torch.tensor([2.0, 3.5]), 0.5)
    assert found.tolist() == [[0.25, 1.0, -1e9], [1.0, 2.0, 3.0]]
