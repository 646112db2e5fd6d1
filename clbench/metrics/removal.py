"""What is left of samples that a network was asked to forget: of streams whose last stage makes such a request.

All after that stage. None where a stream makes none. None of these is an end in itself: a network that was trained
without the samples says what each can be ('retrain').
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from clbench.metrics.registry import Course, course_metric


@course_metric(better="lower")
def removed_accuracy(course: Course) -> float | None:
    """Accuracy on the removed training samples after the request.

    Golatkar et al. 2020 (arXiv:1911.04933). Where classes were removed, a network without them has 0; where
    single samples were, it has about its accuracy on test samples.
    """
    return None if course.removal is None else course.accuracy[-1][course.removal.removed]


@course_metric()
def known_accuracy(course: Course) -> float | None:
    """Accuracy on the training samples that stay, after the request.

    Golatkar et al. 2020 (arXiv:1911.04933).
    """
    return None if course.removal is None else course.accuracy[-1][course.removal.known]


@course_metric()
def kept_accuracy(course: Course) -> float | None:
    """Accuracy on test samples of what stays, after the request.

    Golatkar et al. 2020 (arXiv:1911.04933).
    """
    return None if course.removal is None else course.accuracy[-1][course.removal.kept]


@course_metric(better="lower")
def membership_attack(course: Course) -> float | None:
    """How well losses tell removed training samples from test samples like them, from 0.5, not at all, to 1.

    ½ + |AUC − ½|, where AUC is the share of pairs of a removed and a test sample in which the removed one has the
    smaller loss, half a pair where they are equal: the attack of Yeom et al. 2018 (arXiv:1709.01604), over all its
    thresholds. A larger loss betrays a sample as well as a smaller one. Where whole classes were removed the test
    samples are those of these classes.
    """
    if course.removal is None or not course.removal.removed_losses or not course.removal.unseen_losses:
        return None
    return 0.5 + abs(area(course.removal.removed_losses, course.removal.unseen_losses) - 0.5)


@course_metric(unit="steps")
def relearning_steps(course: Course) -> float | None:
    """Steps on the removed samples alone until their mean loss is what it was before the request.

    The relearn time of Golatkar et al. 2020 (arXiv:1911.04933), in steps. The loss is looked at after every
    step, over up to 1,000 samples. None where it is not reached in 1,000 steps, or something else answers in the
    network's place.
    """
    return None if course.removal is None else course.removal.relearning


@course_metric(better="lower")
def distance_to_retrain(course: Course) -> float | None:
    """Mean distance of answers to removed samples from those of a network trained without them, 0 to 1.

    mean_n ½ Σ_c |p_c(x_n) − q_c(x_n)|, p and q the softmax outputs of the run and of a network that begins with the
    same weights and trains as the run does, by cross-entropy on what stays alone; after the activation distance of
    Golatkar et al. 2021 (arXiv:2012.13431). That network is trained beside a run with --diagnostics; other runs have no
    value. Two networks trained without the samples are not at distance 0 either: see 'retrain'.
    """
    return None if course.removal is None else course.removal.distance


def area(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the share of pairs in which the first one's value is smaller, half a pair where they are equal."""
    ordered = sorted(second)
    larger = sum(2 * len(ordered) - bisect_left(ordered, x) - bisect_right(ordered, x) for x in first)
    return larger / (2 * len(first) * len(ordered))
