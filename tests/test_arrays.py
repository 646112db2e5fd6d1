"""Arrays as datasets: from memory and from files, and what is said of those that cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clbench.data import cache, parts
from clbench.data.arrays import dataset_of, raw_of_arrays
from clbench.data.dataset import Dataset
from clbench.data.sources import DataPlace, is_vectors
from clbench.data.tensors import encoder_of
from clbench.errors import Remark, UserError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 3)).astype(np.float32)
Y = np.arange(20) % 4
IMAGES = RNG.integers(0, 256, (20, 6, 5, 3), dtype=np.uint8)


def of(**arrays: Any) -> Dataset:
    return dataset_of("mine", raw_of_arrays(**arrays))


def save(file: Path, **arrays: Any) -> Path:
    np.savez(file, **arrays)
    return file


def load(file: Path, image_size: int | None = None, **said: Any) -> Dataset:
    place = DataPlace(file.parent, file.parent / "cache", offline=True)
    return cache.load("mine", place, image_size, said=said | {"path": str(file)})


def test_numbers_are_float32_and_undivided() -> None:
    data = of(x=X.astype(np.float64), y=Y)
    assert data.train_samples.dtype == np.float32
    assert np.array_equal(data.train_samples, X)
    assert data.classes == ["0", "1", "2", "3"]
    assert data.undivided
    assert len(data.rows("test")) == 4, "a fifth of each class"
    assert of(x=X, y=Y).fingerprint == data.fingerprint
    assert of(x=np.where(X > 0, X, np.nan), y=Y).fingerprint != data.fingerprint


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (IMAGES, IMAGES.transpose(0, 3, 1, 2)),
        (IMAGES.transpose(0, 3, 1, 2), IMAGES.transpose(0, 3, 1, 2)),
        (IMAGES[..., 0], IMAGES[..., 0][:, None]),
        (IMAGES[:, :3, :, :1], IMAGES[:, :3, :, :1]),  # either axis could be that of channels: the second is
    ],
)
def test_uint8_of_three_or_four_axes_is_images(x: np.ndarray, expected: np.ndarray) -> None:
    data = of(x=x, y=Y)
    assert data.is_images
    assert np.array_equal(data.train_samples, expected)
    assert data.mean == pytest.approx((expected / 255).mean((0, 2, 3)))
    assert data.std == pytest.approx((expected / 255).std((0, 2, 3)))


def test_whole_numbers_are_numbers_unless_they_are_codes() -> None:
    x = RNG.integers(0, 9, (20, 3))
    assert of(x=x, y=Y).train_samples.dtype == np.float32
    data = of(x=x, y=Y, codes=True)
    assert data.train_samples.dtype == np.int64
    import torch

    assert type(encoder_of(data, torch.device("cpu"), "standard", 64)).__name__ == "Codes"


@pytest.mark.parametrize("y", [Y.astype(str), Y.astype(np.float32), Y[:, None], Y.astype(object), Y.astype(np.uint8)])
def test_labels_of_any_type_are_the_same_classes(y: np.ndarray) -> None:
    data = of(x=X, y=y)
    assert data.classes == ["0", "1", "2", "3"]
    assert data.train_labels.tolist() == Y.tolist()


def test_names_are_in_order_of_letters_and_numbers_by_size() -> None:
    assert of(x=X, y=np.array(["b", "a"] * 10)).classes == ["a", "b"]
    assert of(x=X, y=np.array(["10", "9"] * 10)).classes == ["9", "10"]


def test_rows_are_put_in_order_of_time() -> None:
    order = RNG.permutation(20)
    dates = np.datetime64("2024-01-01") + order
    data = of(x=X, y=Y, times=dates, groups=np.array(["b", "a"])[Y % 2])
    back = np.argsort(order)
    assert data.calendar
    assert np.array_equal(data.train_samples, X[back])
    assert data.train_labels.tolist() == Y[back].tolist()
    assert data.train.times is not None
    assert np.diff(data.train.times).tolist() == [86_400] * 19
    assert data.train.previous is not None
    assert data.train.previous.tolist() == [-1, *Y[back][:-1]]
    assert data.groups == ["b", "a"]
    assert data.train.groups is not None
    assert np.array_equal(data.train.groups, (Y % 2)[back])
    told = of(x=X, y=Y, times=[str(date) for date in dates], groups=np.array(["b", "a"])[Y % 2])
    assert told.fingerprint == data.fingerprint, "dates as text are the same"


def test_test_samples_are_given_or_named() -> None:
    data = of(x=X[:12], y=Y[:12], x_test=X[12:], y_test=Y[12:])
    assert not data.undivided
    split = np.array(["train"] * 12 + ["test"] * 8)
    assert of(x=X, y=Y, split=split).fingerprint == data.fingerprint
    assert data.rows("test").tolist() == [*range(8)]


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "different lengths": ({"y": Y[:-1]}, r"differ in length: x 20, y 19"),
    "one number a row": ({"x": X[:, 0]}, r"x is float32 of shape \(20,\).*one row a sample"),
    "text": ({"x": X.astype(str)}, r"x is <U\d+ of shape .*made vectors"),
    "objects": ({"x": X.astype(object)}, r"x is object.*made vectors"),
    "infinite": ({"x": np.where(np.arange(20)[:, None] == 7, np.inf, X)}, r"x is infinite in row 8"),
    "too large for float32": ({"x": X.astype(np.float64) * 1e300}, r"x is infinite in row 1"),
    "no image": ({"x": np.zeros((20, 5, 6, 7), np.uint8)}, r"neither \[n, channels, height, width\] nor"),
    "missing label": ({"y": np.where(Y == 3, np.nan, Y)}, r"y is missing in row 4"),
    "missing name": ({"y": np.array(["a", None] * 10, object)}, r"y is missing in row 2"),
    "labels that are no classes": ({"y": Y + 0.5}, r"y holds 0.5; labels are whole numbers"),
    "a label each": (
        {"x": np.zeros((40, 1)), "y": np.arange(40)},
        r"y has 40 different values in 40 rows.*tells classes apart",
    ),
    "one-hot labels": ({"y": np.eye(4)[Y]}, r"y is float64 of shape \(20, 4\).*one label a row"),
    "one class": ({"y": Y * 0}, r"every row has the label '0'"),
    "no rows": ({"x": X[:0], "y": Y[:0]}, r"x is float32 of shape \(0, 3\)"),
    "negative codes": ({"x": np.full((20, 2), -1), "codes": True}, r"data.codes.*whole numbers from 0"),
    "a time that is none": ({"times": ["yesterday"] * 20}, r"time cannot be read.*ISO 8601"),
    "a missing time": ({"times": np.array(["NaT"] + ["2024-01-01"] * 19, "M8[s]")}, r"time is missing in row 1"),
    "a part that is none": ({"split": ["a", "b"] * 10}, r"split says 'a'; expected"),
    "all in one part": ({"split": ["train"] * 20}, r"split puts all rows in one part"),
    "x_test alone": ({"x_test": X}, r"x_test and y_test belong together"),
    "x_test of another shape": ({"x_test": X[:, :2], "y_test": Y}, r"x_test has float32 samples of shape \(2,\)"),
    "an unknown label": ({"x_test": X, "y_test": Y + 1}, r"y_test holds the label '4', which y never has"),
    "times and x_test": ({"x_test": X, "y_test": Y, "times": Y}, r"time: with x_test.*say which row is which in split"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arrays_are_told_in_a_sentence(case: str) -> None:
    arrays, message = BAD[case]
    with pytest.raises(UserError, match=message):
        of(**{"x": X, "y": Y} | arrays)


@pytest.mark.parametrize("names", [("x", "y"), ("X_train", "y_train"), ("train_images", "train_labels"), ("a", "b")])
def test_npz_is_the_same_as_arrays(names: tuple[str, str], tmp_path: Path) -> None:
    said: dict[str, Any] = {"label": "b"} if names == ("a", "b") else {}
    if said:
        with pytest.raises(UserError, match=r"mine.npz holds a, b, and no 'x'"):
            load(save(tmp_path / "mine.npz", a=X, b=Y), **said)
        return
    data = load(save(tmp_path / "mine.npz", **dict(zip(names, (X, Y), strict=True))))
    assert data.fingerprint == of(x=X, y=Y).fingerprint
    assert isinstance(data.train_samples.base, np.memmap) or isinstance(data.train_samples, np.memmap)


def test_compressed_npz_with_times_and_what_is_left(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "mine.npz", x=X, y=Y, t=Y[::-1], note=Y)
    with pytest.warns(Remark, match="the arrays note are not read"):
        data = load(tmp_path / "mine.npz", time="t")
    assert data.fingerprint == of(x=X, y=Y, times=Y[::-1]).fingerprint
    with pytest.warns(Remark, match="t, note are not read"):
        rows = load(tmp_path / "mine.npz", time="row")
    assert rows.train.times is not None
    assert rows.train.times.tolist() == [*range(20)]
    with pytest.raises(UserError, match=r"data.time: .*has no array 'when'. It holds x, y, t, note"):
        load(tmp_path / "mine.npz", time="when")
    with pytest.raises(UserError, match=r"data.features: .*no columns with names"):
        load(tmp_path / "mine.npz", features=["x"])


def test_labels_that_are_places_among_names(tmp_path: Path) -> None:
    data = load(save(tmp_path / "mine.npz", x=X, y=Y, classes=["d", "c", "b", "a"], about="{}"))
    assert data.classes == ["d", "c", "b", "a"]
    assert data.train_labels.tolist() == Y.tolist()
    with pytest.raises(UserError, match=r"'classes' has 3 names, and y is no place among them"):
        load(save(tmp_path / "mine.npz", x=X, y=Y, classes=["d", "c", "b"]))


def test_npy_with_labels_beside(tmp_path: Path) -> None:
    np.save(tmp_path / "mine.npy", IMAGES)
    with pytest.raises(UserError, match=r"has no labels.*mine_labels.npy"):
        load(tmp_path / "mine.npy")
    np.save(tmp_path / "mine-labels.npy", Y)
    data = load(tmp_path / "mine.npy")
    assert data.fingerprint == of(x=IMAGES, y=Y).fingerprint
    place = DataPlace(tmp_path, tmp_path / "cache", offline=True)
    assert not is_vectors("mine", place, {})
    assert load(tmp_path / "mine.npy", image_size=4).shape == (3, 4, 4)


def test_files_that_are_damaged_or_hold_objects(tmp_path: Path) -> None:
    file = save(tmp_path / "mine.npz", x=X, y=Y.astype(object))
    with pytest.raises(UserError, match=r"'y' holds Python objects, which are never read"):
        load(file)
    file.write_bytes(save(tmp_path / "whole.npz", x=X, y=Y).read_bytes()[:200])
    with pytest.raises(UserError, match=r"mine.npz is damaged or no .npz file"):
        load(file)
    assert not [*(tmp_path / "cache").glob("mine-*")], "nothing half written"
    with pytest.raises(UserError, match=r"image_size: 'mine' has no images"):
        load(tmp_path / "whole.npz", image_size=8)


def test_big_arrays_are_converted_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = raw_of_arrays(X.astype(np.float64), Y, times=-np.arange(20))
    monkeypatch.setattr(parts, "CHUNK", 100)
    raw = raw_of_arrays(X.astype(np.float64), Y, times=-np.arange(20), room=tmp_path)
    assert isinstance(raw.train.samples, np.memmap)
    assert np.array_equal(raw.train.samples, whole.train.samples)
    assert not [*tmp_path.iterdir()], "files without a name"
    images = raw_of_arrays(IMAGES, Y, room=tmp_path)
    assert np.array_equal(images.train.samples, IMAGES.transpose(0, 3, 1, 2))
