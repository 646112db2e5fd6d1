"""scikit-learn's sets: bundled ones, and those that it fetches, from caches in its own format."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn import datasets

from clbench.data import cache
from clbench.data.known import SOURCES
from clbench.data.sources import DataPlace, is_vectors
from clbench.errors import UserError

RNG = np.random.default_rng(0)


@pytest.fixture
def place(tmp_path: Path) -> DataPlace:
    (tmp_path / "data").mkdir()
    return DataPlace(tmp_path / "data", tmp_path / "cache", offline=True)


@pytest.mark.parametrize("name", ["iris", "wine", "breast-cancer"])
def test_bundled_sets_need_nothing(name: str, place: DataPlace) -> None:
    data = cache.load(name, place)
    bunch = getattr(datasets, f"load_{name.replace('-', '_')}")()
    assert np.array_equal(data.train_samples, bunch.data.astype(np.float32))
    assert [data.classes[label] for label in data.train_labels] == bunch.target_names[bunch.target].tolist()
    assert data.shape == SOURCES[name].shape
    assert len(data.classes) == SOURCES[name].classes
    assert data.columns is not None
    assert data.columns.numbers == list(bunch.feature_names)
    assert data.undivided
    assert is_vectors(name, place, {})


def forest(rows: int = 60) -> SimpleNamespace:
    """What fetch_covtype returns, with few rows."""
    numbers = ["Elevation", "Aspect", *(f"number {n}" for n in range(8))]
    ones = [f"Wilderness_Area_{area}" for area in range(4)] + [f"Soil_Type_{soil}" for soil in range(40)]
    areas, soils = np.eye(4)[RNG.integers(0, 4, rows)], np.eye(40)[RNG.integers(0, 40, rows)]
    data = np.concatenate([RNG.integers(0, 3000, (rows, 10)), areas, soils], axis=1).astype(np.float64)
    return SimpleNamespace(data=data, target=1 + np.arange(rows) % 7, feature_names=[*numbers, *ones])


def test_covertype_is_that_of_the_table(place: DataPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    bunch = forest()
    asked: list[bool] = []

    def fetch(download_if_missing: bool) -> SimpleNamespace:
        asked.append(download_if_missing)
        return bunch

    monkeypatch.setattr(datasets, "fetch_covtype", fetch)
    group = {"group": [f"Wilderness_Area{area}" for area in range(1, 5)]}
    fetched, grouped = cache.load("covertype", place), cache.load("covertype", place, said=group)
    assert asked == [False, False], "offline"
    assert grouped.groups is not None
    assert len(grouped.groups) == 4
    assert grouped.shape == (50,)
    assert fetched.columns is not None
    names = [*fetched.columns.numbers, "Cover_Type"]
    assert names[10:12] == ["Wilderness_Area1", "Wilderness_Area2"]
    assert names[14] == "Soil_Type1"
    rows = np.column_stack([bunch.data, bunch.target]).astype(int)
    (place.root / "covertype.csv").write_text("\n".join(",".join(map(str, row)) for row in [names, *rows]))
    table = cache.load("covertype", place)
    assert len(asked) == 2, "the table comes first"
    assert table.fingerprint == fetched.fingerprint


def test_covertype_that_is_nowhere(place: DataPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(download_if_missing: bool) -> None:
        raise OSError("Data not found and `download_if_missing` is False")

    monkeypatch.setattr(datasets, "fetch_covtype", fetch)
    with pytest.raises(UserError, match=r"cannot give 'covertype' without a download: Data not found.*covertype.csv"):
        cache.load("covertype", place)


ARFF = """@RELATION pets
@ATTRIBUTE weight REAL
@ATTRIBUTE kind {cat,dog}
@ATTRIBUTE home {yes,no}
@DATA
3.5,cat,yes
?,dog,no
12,dog,yes
4,?,no
"""


def write_openml(home: Path, number: int = 7) -> None:
    """Lay out scikit-learn's cache of one dataset of openml.org."""
    root = home / "openml" / "openml.org"
    (root / "api/v1/json/data/features").mkdir(parents=True)
    (root / "api/v1/json/data/qualities").mkdir()
    (root / f"data/v1/download/{number}").mkdir(parents=True)
    features = [
        {"index": str(place), "name": name, "data_type": kind, "is_ignore": "false", "is_row_identifier": "false"}
        | {"is_target": str(name == "home").lower(), "number_of_missing_values": "0"}
        for place, (name, kind) in enumerate([("weight", "numeric"), ("kind", "nominal"), ("home", "nominal")])
    ]
    description = {
        "id": str(number),
        "name": "pets",
        "description": "Four pets.",
        "version": "1",
        "format": "ARFF",
        "status": "active",
        "file_id": str(number),
        "default_target_attribute": "home",
        "md5_checksum": hashlib.md5(ARFF.encode()).hexdigest(),
        "url": f"https://www.openml.org/data/v1/download/{number}/pets.arff",
    }
    answers: dict[str, Any] = {
        f"api/v1/json/data/{number}": {"data_set_description": description},
        f"api/v1/json/data/features/{number}": {"data_features": {"feature": features}},
        f"api/v1/json/data/qualities/{number}": {"data_qualities": {"quality": []}},
    }
    for path, answer in answers.items():
        (root / f"{path}.gz").write_bytes(gzip.compress(json.dumps(answer).encode()))
    (root / f"data/v1/download/{number}/pets.arff.gz").write_bytes(gzip.compress(ARFF.encode()))


def test_openml_from_its_cache(place: DataPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "sklearn"))
    write_openml(tmp_path / "sklearn")
    data = cache.load("openml-7", place)
    assert data.columns is not None
    assert (data.columns.numbers, data.columns.categories, data.columns.label) == (["weight"], ["kind"], "home")
    assert data.classes == ["no", "yes"]
    assert data.train_labels.tolist() == [1, 0, 1, 0]
    assert data.train_samples[:, 1].tolist() == [1, 2, 2, 0]
    assert np.isnan(data.train_samples[1, 0])
    assert is_vectors("openml-7", place, {})


def test_openml_that_would_have_to_be_downloaded(
    place: DataPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "sklearn"))
    with pytest.raises(
        UserError, match=r"'openml-9' is not in scikit-learn's cache, and downloads are off.*data fetch"
    ):
        cache.load("openml-9", place)

    def unreachable(**wanted: Any) -> None:
        raise OSError(f"no route to host for {wanted['name']}")

    monkeypatch.setattr(datasets, "fetch_openml", unreachable)
    online = DataPlace(place.root, place.cache, offline=False)
    with pytest.raises(
        UserError, match=r"cannot give 'openml-pets': no route to host for pets. Run 'clbench data fetch"
    ):
        cache.load("openml-pets", online)
