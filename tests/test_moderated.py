"""Moderated variances: against the equations solved plainly, and at their limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize, special, stats

from clbench.analysis.moderated import NOISY, Prior, independent_samples, moderated, prior, trigamma_inverse
from clbench.analysis.significance import benjamini_hochberg


@pytest.mark.parametrize("value", [1e-8, 1e-3, 0.3, 1.0, 4.9, 1e3, 1e9])
def test_trigamma_is_inverted(value: float) -> None:
    assert float(special.polygamma(1, trigamma_inverse(value))) == pytest.approx(value, rel=1e-6)


def test_the_prior_solves_its_equations_with_unequal_freedoms() -> None:
    rng = np.random.default_rng(0)
    freedoms = rng.integers(2, 9, 40)
    variances = rng.lognormal(-8, 1.5, 40) * rng.chisquare(freedoms) / freedoms
    logs = [math.log(s2) - special.psi(f / 2) + math.log(f / 2) for s2, f in zip(variances, freedoms, strict=True)]
    target = np.var(logs, ddof=1) - np.mean([special.polygamma(1, f / 2) for f in freedoms])
    d0 = optimize.brentq(lambda d: special.polygamma(1, d / 2) - target, 1e-3, 1e3)
    found = prior(variances.tolist(), freedoms.tolist())
    assert found.freedom == pytest.approx(d0, rel=1e-6)
    assert found.variance == pytest.approx(math.exp(np.mean(logs)), rel=1e-9)
    assert found.most == pytest.approx(freedoms.sum() * 39 / 40)
    s2, f = moderated(found.variance / 3, 4, found)
    assert s2 == pytest.approx((d0 * found.variance + 4 * found.variance / 3) / (d0 + 4), rel=1e-6)
    assert f == pytest.approx(d0 + 4)


def test_a_known_prior_is_found_again() -> None:
    rng = np.random.default_rng(1)
    true = 0.02 * 6 / rng.chisquare(6, 4000)
    found = prior((true * rng.chisquare(4, 4000) / 4).tolist(), [4] * 4000)
    assert found.freedom == pytest.approx(6, rel=0.15)


def test_equal_variances_are_pooled_and_their_number_is_the_limit() -> None:
    found = prior([1.0, 1.1, 0.9, 1.0], [4, 4, 4, 4])
    assert (found.freedom, found.most) == (math.inf, 12)
    assert found.variance == pytest.approx(1.0)
    assert moderated(0.9, 4, found) == pytest.approx((1.0, 12))
    assert prior([1.0, 1.1, 0.9, 1.0], [4] * 4, independent=2.0).most == 4


def test_what_is_noisier_than_the_pool_keeps_its_own_spread() -> None:
    pool = Prior(4.0, 1.0, 100.0)
    assert moderated(1.5, 4, pool) == (1.5, 8.0), "never called quieter than it looks"
    noisy = 8 * NOISY
    assert moderated(noisy, 2, Prior(20.0, 1.0, 100.0)) == (noisy, 2)


def test_little_data_say_nothing() -> None:
    for variances, freedoms in (([], []), ([0.3], [4]), ([0.3, 0.0], [4, 4]), ([0.3, 0.4], [1, 4])):
        assert moderated(0.3, 4, prior(variances, freedoms)) == (0.3, 4)
    assert moderated(0.3, 1, Prior(4.0, 1.0, 100.0)) == (0.3, 1), "nor does a pool say anything of two values"


def test_samples_in_step_count_as_one() -> None:
    one = {0: 0.1, 1: 0.5, 2: -0.3, 4: 0.2}
    assert independent_samples([one, {seed: 3 * value for seed, value in one.items()}]) == pytest.approx(1.0)
    assert independent_samples([]) == 0
    assert independent_samples([one, {0: 1.0, 1: 1.0, 2: 1.0}]) == 1, "what does not vary does not count"
    assert independent_samples([one, {10: 0.1, 11: 0.4, 12: 0.2}]) == 2, "nothing shared"
    rng = np.random.default_rng(2)
    noise = [dict(enumerate(row)) for row in rng.normal(size=(60, 5)).tolist()]
    assert independent_samples(noise) > 50


def test_false_discoveries_are_adjusted_as_scipy_does() -> None:
    ps = np.random.default_rng(3).uniform(size=30) ** 3
    assert benjamini_hochberg(ps.tolist()) == pytest.approx(stats.false_discovery_control(ps))
    assert benjamini_hochberg([]) == []
