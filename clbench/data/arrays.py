"""Arrays as a dataset: samples ``x`` and labels ``y``, from memory or from ``.npz`` and ``.npy`` files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from clbench.data import parts
from clbench.data.dataset import Array, Dataset, Part, Raw
from clbench.data.samples import samples_of
from clbench.errors import UserError


def raw_of_arrays(
    x: ArrayLike,
    y: ArrayLike,
    x_test: ArrayLike | None = None,
    y_test: ArrayLike | None = None,
    *,
    times: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    split: ArrayLike | None = None,
    codes: bool = False,
    room: Path | None = None,
) -> Raw:
    """Return samples x [n, …] and labels y [n], and test samples if there are any, as a dataset's raw data.

    uint8 [n, h, w], [n, h, w, c] or [n, c, h, w] are images, kept as [n, c, h, w]; the axis of channels is the one of 4
    at most, the second if both are. Other numbers become float32, or int64 where they are ``codes`` for an embedding;
    NaN is a missing number. Labels are whole numbers or text. ``times``, numbers or dates, and ``groups`` are of each
    row, ``split`` says 'train' or 'test' of each; rows are put in order of time. What is converted is kept in the
    folder ``room``, or in memory. Raises UserError for arrays of other types or lengths, infinite numbers, missing
    labels or times, one class.
    """
    of_rows = {"time": times, "group": groups, "split": split}
    extra = {name: np.asarray(one) for name, one in of_rows.items() if one is not None}
    if (x_test is None) != (y_test is None):
        raise UserError("x_test and y_test belong together. Give both, or neither.")
    if x_test is not None and extra:
        raise UserError(
            f"{' and '.join(extra)}: with x_test, x has no {next(iter(extra))}. Join x and x_test into one array, and "
            "say which row is which in split."
        )
    samples = samples_of(np.asarray(x), "x", codes, room)
    labels = checked_labels(np.asarray(y), "y")
    _same_length({"x": samples, "y": labels} | extra)
    if x_test is not None:
        held_out, held_out_labels = (
            samples_of(np.asarray(x_test), "x_test", codes, room),
            checked_labels(np.asarray(y_test), "y_test"),
        )
        _same_length({"x_test": held_out, "y_test": held_out_labels})
        return _divided(samples, labels, held_out, held_out_labels)
    classes, numbers = _numbered(labels)
    seconds, calendar = (None, False) if times is None else _times(extra["time"])
    names, groups_of = (None, None) if groups is None else _named(extra["group"], "group")
    whole, test = Part(samples, numbers, seconds, groups_of), None if split is None else _test(extra["split"])
    order = parts.time_order(seconds)
    if order is not None:
        whole, test = parts.chosen(whole, order, room), None if test is None else test[order]
    train, tested = parts.divided(parts.with_previous(whole), test, room)
    return Raw(train, tested, classes, None, groups=names, calendar=calendar)


def dataset_of(name: str, raw: Raw) -> Dataset:
    """Return raw data as a dataset in memory, with the fingerprint that the same has on disk; nothing is written."""
    from clbench.data.cache import arrays_of, fingerprint, moments

    images = raw.train.samples.dtype == np.uint8
    return Dataset(
        name=name,
        train=raw.train,
        test=raw.train if raw.test is None else raw.test,
        undivided=raw.test is None,
        classes=raw.classes,
        coarse=raw.coarse,
        **(moments(raw.train.samples) if images else {"mean": [], "std": []}),
        fingerprint=fingerprint(*arrays_of(raw).values()),
        official=False,
        columns=raw.columns,
        groups=raw.groups,
        calendar=raw.calendar,
    )


def _divided(samples: Array, labels: Array, held_out: Array, held_out_labels: Array) -> Raw:
    """Training and test samples that are apart."""
    if samples.shape[1:] != held_out.shape[1:] or samples.dtype != held_out.dtype:
        raise UserError(
            f"x_test has {held_out.dtype} samples of shape {held_out.shape[1:]}, and x {samples.dtype} ones of "
            f"{samples.shape[1:]}. Give arrays that differ in length alone."
        )
    classes, numbers = _numbered(labels)
    place = {name: index for index, name in enumerate(classes)}
    values, of_value = np.unique(held_out_labels, return_inverse=True)
    unknown = [str(value) for value in values if str(value) not in place]
    if unknown:
        raise UserError(f"y_test holds the label '{unknown[0]}', which y never has. Give training samples of it too.")
    test_labels: Array = np.array([place[str(value)] for value in values], np.int64)[of_value]
    return Raw(Part(samples, numbers), Part(held_out, test_labels), classes, None)


def _same_length(arrays: Mapping[str, Array]) -> None:
    check_lengths({name: len(array) if array.ndim else 0 for name, array in arrays.items()})


def check_lengths(lengths: Mapping[str, int]) -> None:
    """Raise UserError, with the arrays' names, where they differ in length."""
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} {length:,}" for name, length in lengths.items())
        raise UserError(f"The arrays differ in length: {shown}. Each has one entry a row: give as many of each.")


def checked_labels(y: Array, name: str) -> Array:
    """Labels as whole numbers or text [n]."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.dtype.kind == "O":
        missing = np.array([one is None or one != one for one in y.reshape(-1).tolist()])
        if missing.any():
            raise _missing(name, missing)
        y = np.array(y.tolist())
    if y.ndim != 1 or y.dtype.kind not in "biufU":
        raise UserError(f"{name} is {y.dtype} of shape {y.shape}. Expected one label a row: whole numbers or text.")
    if y.dtype.kind == "f":
        if np.isnan(y).any():
            raise _missing(name, np.isnan(y))
        if (y != np.rint(y)).any():
            wrong = y[y != np.rint(y)][0]
            raise UserError(f"{name} holds {wrong}; labels are whole numbers or text. Make classes of it.")
        y = y.astype(np.int64)
    return y


def _missing(name: str, where: Array) -> UserError:
    row = int(np.flatnonzero(where)[0]) + 1
    return UserError(f"{name} is missing in row {row:,}. Remove such rows.")


def _numbered(labels: Array) -> tuple[list[str], Array]:
    """Class names in order, and labels as places among them."""
    values, of_value = np.unique(labels, return_inverse=True)
    names = [str(value) for value in values]
    parts.check_classes(len(names), len(labels), names[0], "y", "Give labels of classes")
    order = parts.in_order(names)
    place = {name: index for index, name in enumerate(order)}
    return order, np.array([place[name] for name in names], np.int64)[of_value]


def _named(values: Array, name: str) -> tuple[list[str], Array]:
    """Names in the order in which they come, and each row's number."""
    known, first, of_value = np.unique(checked_labels(values, name), return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return [str(known[one]) for one in order], place[of_value]


def _times(times: Array) -> tuple[Array, bool]:
    """Times as int64 seconds since 1970 and True, or plain numbers as float64 and False."""
    if times.ndim != 1 or times.dtype.kind not in "biufMU":
        raise UserError(f"time is {times.dtype} of shape {times.shape}. Expected one number or date a row.")
    if times.dtype.kind in "biuf":
        numbers = times.astype(np.float64)
        if np.isnan(numbers).any():
            raise _missing("time", np.isnan(numbers))
        return numbers, False
    try:
        dates = times.astype("datetime64[s]")
    except ValueError as error:
        raise UserError(f"time cannot be read ({error}). Expected ISO 8601 such as 2013-01-31T05:15.") from None
    if np.isnat(dates).any():
        raise _missing("time", np.isnat(dates))
    return dates.astype(np.int64), True


def _test(split: Array) -> Array:
    names, codes = _named(split, "split")
    return parts.tested(names, codes, "split", "Give one of them for each row")
