"""Variances of many small samples, each steadied by what all of them show: empirical Bayes for few seeds.

Three seeds know little of their own spread: to be sure at 1 in 3,000, which is what a check of fifty cells and three
metrics asks, a t-test on two degrees of freedom wants a difference of 40 times its error. But fifty samples together
know what spreads are usual. Smyth (2004), "Linear models and empirical Bayes methods for assessing differential
expression in microarray experiments", doi:10.2202/1544-6115.1027: variances s² with f degrees of freedom scatter around
true ones, whose inverses follow a χ² with d₀ degrees of freedom; d₀ is read off the scatter of log s² (section 6.2).

Three things differ from the paper, each to keep the rate of false alarms where variances are more unequal than that,
as those of continual learning are (a frozen network beside one that jumps; ``python -m tests.bench.gate`` measures it):

- The centre of the prior is the geometric mean of the variances, exp(mean e), and not the paper's
  exp(mean e + ψ(d₀/2) − log(d₀/2)), which lies far below most of them where d₀ is small.
- A sample that looks noisier than the pool is never called quiet: the larger of s² and its moderated s̃² counts, and
  where s² > 2·s̃² the sample's own degrees of freedom do.
- The pool knows no more than its independent samples do: samples that go up and down together with the seeds, because
  a seed is the same stream for all, count by an effective number, k/(1 + (k−1)ρ²), ρ being their mean correlation.

Samples of two values, whose log s² scatter more than any differences between samples, neither give nor take.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from clbench.analysis.statistics import ROUNDING, stdev

NOISY = 2.0  # how many times its moderated variance makes a sample a case of its own
LEAST_FREEDOM = 2  # of a sample that takes part


@dataclass(frozen=True)
class Prior:
    """What a pool of samples says of the variance of any: ``variance`` s₀², worth ``freedom`` d₀ further observations.

    d₀ is 0 where the pool says nothing and inf where all samples seem to have one variance. ``most`` is the limit for
    what is moderated: the degrees of freedom of the pool's independent samples, less one sample's.
    """

    freedom: float
    variance: float
    most: float


def prior(variances: Sequence[float], freedoms: Sequence[float], independent: float | None = None) -> Prior:
    """Return what some variances with their degrees of freedom say of any other of their kind.

    ψ′(d₀/2) = var(e) − mean ψ′(f/2) and log s₀² = mean e, for e = log s² − ψ(f/2) + log(f/2). Variances of zero and of
    fewer than two degrees of freedom are left out; fewer than two that remain say nothing. ``independent`` is how many
    independent ones they are worth, all of them by default (see ``independent_samples``).
    """
    from scipy.special import polygamma, psi

    known = [(s2, f) for s2, f in zip(variances, freedoms, strict=True) if s2 > ROUNDING**2 and f >= LEAST_FREEDOM]
    count = len(known)
    if count < 2:
        return Prior(0.0, 0.0, 0.0)
    halves = [f / 2 for _, f in known]
    digammas, trigammas = psi(halves).tolist(), polygamma(1, halves).tolist()
    logs = [math.log(s2) - digamma + math.log(f / 2) for (s2, f), digamma in zip(known, digammas, strict=True)]
    excess = stdev(logs) ** 2 - fmean(trigammas)
    worth = min(count, independent if independent is not None else count)
    most = (worth - 1) / count * sum(f for _, f in known)
    if excess <= 0:
        return Prior(math.inf, sum(f * s2 for s2, f in known) / sum(f for _, f in known), most)
    return Prior(2 * trigamma_inverse(excess), math.exp(fmean(logs)), most)


def moderated(variance: float, freedom: float, pool: Prior) -> tuple[float, float]:
    """Return a sample's moderated variance, s̃² = (d₀s₀² + f·s²)/(d₀ + f) or more, and its degrees of freedom.

    Those that came in where the pool says nothing, where the sample has fewer than two, or where it is noisier than
    the pool by far: with a single sample a moderated t-test is Student's.
    """
    if pool.freedom == 0 or freedom < LEAST_FREEDOM:
        return variance, freedom
    share = 1.0 if math.isinf(pool.freedom) else pool.freedom / (pool.freedom + freedom)
    mixed = share * pool.variance + (1 - share) * variance
    if variance > NOISY * mixed:
        return variance, freedom
    return max(variance, mixed), max(freedom, min(pool.freedom + freedom, pool.most))


def independent_samples(samples: Sequence[Mapping[int, float]]) -> float:
    """Return how many independent samples some are worth that share seeds: k/(1 + (k−1)ρ²), values being by seed.

    ρ is their mean correlation over seeds. k samples in step are worth one, k independent ones k. Samples without
    spread, or of fewer than three values, do not count.
    """
    by_seed: dict[int, list[float]] = {}
    freedoms = []
    for sample in samples:
        if len(sample) <= LEAST_FREEDOM or (spread := stdev(list(sample.values()))) <= ROUNDING:
            continue
        freedoms.append(len(sample) - 1)
        mean = fmean(sample.values())
        for seed, value in sample.items():
            by_seed.setdefault(seed, []).append((value - mean) / spread)
    count = len(freedoms)
    if count < 2:
        return float(count)
    # Σ over pairs i ≠ j of z_i·z_j, seed by seed, over what it would be were all in step.
    products = sum(sum(column) ** 2 - sum(z * z for z in column) for column in by_seed.values())
    in_step = sum(math.sqrt(f) for f in freedoms) ** 2 - sum(freedoms)
    return count / (1 + (count - 1) * (products / in_step) ** 2)


def trigamma_inverse(value: float) -> float:
    """Return x > 0 with ψ′(x) = value, by Newton's method on 1/ψ′, which is convex and nearly straight (Smyth 2004)."""
    from scipy.special import polygamma

    if value > 1e7:
        return 1 / math.sqrt(value)
    if value < 1e-6:
        return 1 / value
    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, x))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, x))
        x += step
        if -step / x < 1e-10:
            break
    return x
