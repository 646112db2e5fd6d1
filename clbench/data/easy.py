"""What is reached without learning over time: by the commonest class, the label before, one column, one regression."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clbench.data.dataset import Array, Dataset, Part
from clbench.data.profile import drawn, names_of

BINS = 256  # of a column of numbers, at most, if it has more different values
SUPPORT = 20  # rows that a bin has on average, at least
FITTED, SCORED = 10_000, 5_000  # rows of a period that a regression is fitted to, and scored on
CUTS = 12  # periods that are scored
SLOTS = 64  # values of a category that have an input of their own
ITERATIONS = 100


@dataclass(frozen=True)
class Reached:
    """Accuracy, and the mean of each class's accuracy, of one way to predict, means over what was scored."""

    way: str
    accuracy: float
    balanced: float


@dataclass(frozen=True)
class Alone:
    """How well one column tells the label: accuracy on rows that its rule was not fitted to, and the share of the
    commonest class's errors that it does not make.
    """

    column: str
    accuracy: float
    removed: float


def persistence(labels: Array) -> float:
    """Return the share of rows, but the first, that have the label of the row before."""
    return float((labels[1:] == labels[:-1]).mean()) if len(labels) > 1 else 0.0


def by_chance(labels: Array) -> float:
    """Return what persistence would be if rows had no order: Σ p², over shares p of classes."""
    shares = np.bincount(labels) / len(labels)
    return float((shares**2).sum())


def scores(labels: Array, predicted: Array) -> tuple[float, float]:
    """Return accuracy and balanced accuracy, the mean over classes that occur."""
    right = labels == predicted
    return float(right.mean()), float(np.mean([right[labels == one].mean() for one in np.unique(labels)]))


def alone(data: Dataset) -> list[Alone]:
    """Return how well each column alone tells the label, on a sample: fitted to the earlier half, scored on the later.

    Without times one half is drawn instead. A rule predicts the commonest class of each value, or of at most ``BINS``
    quantiles of numbers with more values than that, so that a rule has some rows to go by.
    """
    numbers, categories = names_of(data)
    names = [*numbers, *categories]
    chosen = drawn(len(data.train.labels))
    labels = data.train.labels[chosen]
    fit = np.arange(len(labels)) < len(labels) // 2
    if data.train.times is None:
        fit = np.random.default_rng(1).permutation(fit)
    if not fit.any():
        return []
    commonest = np.bincount(labels[fit]).argmax()
    errors = float((labels[~fit] != commonest).mean())
    rows = np.asarray(data.train.samples[chosen]) if names else np.empty((0, 0))
    found = []
    for place, name in enumerate(names):
        kinds = _kinds(rows[:, place], fit, exact=place >= len(numbers))
        accuracy = float((_rule(kinds[fit], labels[fit], kinds.max() + 1)[kinds[~fit]] == labels[~fit]).mean())
        found.append(Alone(name, accuracy, 1 - (1 - accuracy) / errors if errors else 0.0))
    return found


def _kinds(column: Array, fit: Array, exact: bool) -> Array:
    """The number of each row's value or quantile; 0: missing or, of a value, not among those that were fitted to."""
    known = np.unique(column[fit & ~np.isnan(column)])
    bins = max(2, min(BINS, int(fit.sum()) // SUPPORT))
    if exact or len(known) <= bins:
        places = np.searchsorted(known, column).clip(max=max(len(known) - 1, 0))
        there = known[places] == column if len(known) else np.zeros(len(column), bool)
        return np.where(there, places + 1, 0)
    edges = np.unique(np.quantile(column[fit & ~np.isnan(column)], np.linspace(0, 1, bins + 1)[1:-1]))
    kinds: Array = np.where(np.isnan(column), 0, np.searchsorted(edges, column) + 1)
    return kinds


def _rule(kinds: Array, labels: Array, count: int) -> Array:
    """The commonest class of each kind; that of all rows where there is none."""
    classes = int(labels.max()) + 1
    table = np.bincount(kinds * classes + labels, minlength=count * classes).reshape(count, classes)
    rule: Array = np.where(table.sum(1) > 0, table.argmax(1), table.sum(0).argmax())
    return rule


def ahead(data: Dataset, starts: Sequence[int]) -> list[Reached]:
    """Return what is reached on the next period, the mean over at most ``CUTS`` of them.

    starts: the row where each period begins. 'majority' is the commonest class of all rows before the period;
    'persistence' the label of the row before; 'logistic regression' is fitted to a sample of the period before.
    """
    labels = data.train.labels
    edges = [*starts, len(labels)]
    scored = np.unique(np.linspace(1, len(starts) - 1, min(CUTS, len(starts) - 1)).round().astype(int))
    found: dict[str, list[tuple[float, float]]] = {}
    for period in scored:
        past, here = np.arange(edges[period - 1], edges[period]), np.arange(edges[period], edges[period + 1])
        commonest = np.bincount(labels[: edges[period]]).argmax()
        ways = {"majority": np.full(len(here), commonest), "persistence": labels[here - 1]}
        for way, predicted in ways.items():
            found.setdefault(way, []).append(scores(labels[here], predicted))
        found.setdefault("logistic regression", []).append(_regression(data, (data.train, past), (data.train, here)))
    return _means(found)


def at_random(data: Dataset) -> list[Reached]:
    """Return what is reached on test rows, where rows have no times."""
    train, test = data.rows("train"), data.rows("test")
    labels = data.test.labels[test]
    commonest = np.bincount(data.train.labels[train]).argmax()
    majority = scores(labels, np.full(len(test), commonest))
    return _means(
        {"majority": [majority], "logistic regression": [_regression(data, (data.train, train), (data.test, test))]}
    )


def _means(found: dict[str, list[tuple[float, float]]]) -> list[Reached]:
    return [Reached(way, *(float(np.mean(one)) for one in zip(*each, strict=True))) for way, each in found.items()]


def _regression(data: Dataset, past: tuple[Part, Array], future: tuple[Part, Array]) -> tuple[float, float]:
    """Scores of scikit-learn's logistic regression, fitted to a sample of some rows of a part, on one of others.

    Inputs are scaled and coded by the rows that it is fitted to.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    (labels, fitted), (expected, tested) = (
        (part.labels[some], np.asarray(part.samples[some]))
        for (part, rows), most in ((past, FITTED), (future, SCORED))
        for some in [rows[drawn(len(rows), most)]]
    )
    if len(np.unique(labels)) < 2:
        return scores(expected, np.full(len(expected), labels[0]))
    inputs = _inputs(data, fitted, tested)
    with warnings.catch_warnings(), threadpool_limits(1):  # on so few rows threads only wait for each other
        warnings.simplefilter("ignore", ConvergenceWarning)  # a rough answer is one
        model = LogisticRegression(max_iter=ITERATIONS).fit(inputs[0], labels)
    return scores(expected, model.predict(inputs[1]))


def _inputs(data: Dataset, fitted: Array, tested: Array) -> tuple[Array, Array]:
    """Numbers scaled, 0 where one is missing, and a 0/1 column for each frequent value of each category."""
    if data.is_images:
        return fitted.reshape(len(fitted), -1) / 255, tested.reshape(len(tested), -1) / 255
    count = len(data.columns.numbers) if data.columns else None
    parts: tuple[list[Array], list[Array]] = ([], [])
    numbers = fitted.reshape(len(fitted), -1)[:, :count].astype(np.float64)
    there = ~np.isnan(numbers)
    mean = np.where(there, numbers, 0).sum(0) / np.maximum(there.sum(0), 1)
    spread = np.sqrt((np.where(there, numbers - mean, 0) ** 2).sum(0) / np.maximum(there.sum(0), 1))
    spread[spread <= 1e-6 * np.maximum(np.abs(mean), 1e-6)] = np.inf  # what never changes says nothing
    for part, rows in zip(parts, (fitted, tested), strict=True):
        part.append(np.nan_to_num((rows.reshape(len(rows), -1)[:, :count] - mean) / spread).clip(-10, 10))
    for place in range(count if count is not None else numbers.shape[1], fitted.shape[1] if data.columns else 0):
        values, counts = np.unique(fitted[:, place], return_counts=True)
        frequent = values[np.argsort(-counts, kind="stable")[:SLOTS]]
        for part, rows in zip(parts, (fitted, tested), strict=True):
            part.append((rows[:, place, None] == frequent).astype(np.float64))
    return np.concatenate(parts[0], 1), np.concatenate(parts[1], 1)
