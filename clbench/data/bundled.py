"""scikit-learn's sets of vectors: bundled, or downloaded by it into its own cache (``$SCIKIT_LEARN_DATA``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import feather

from clbench.data.dataset import Raw
from clbench.data.sources import OPENML
from clbench.data.tables import read_table
from clbench.errors import UserError

AREAS, SOILS = 4, 40  # 0/1 columns of covertype


def read_bundled(name: str, said: Mapping[str, Any], room: Path, offline: bool) -> Raw:
    """Read one of scikit-learn's sets, as a table.

    Raises UserError if it would have to be downloaded and may not, or cannot be.
    """
    if name.startswith(OPENML):
        table = _openml(name, offline)
    elif name == "covertype":
        table = _covertype(offline)
    else:
        table = _small(name)
    file = room / f"{name}.feather"
    feather.write_feather(table, str(file), compression="uncompressed")
    return read_table(file, {"label": table.column_names[-1], **said}, room, guess=False)


def _small(name: str) -> pa.Table:
    """iris, wine or breast-cancer, with the names of their classes."""
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name.replace('-', '_')}")()
    columns = {column: bunch.data[:, place] for place, column in enumerate(bunch.feature_names)}
    return pa.table({**columns, "label": np.asarray(bunch.target_names)[bunch.target].astype(str)})


def _covertype(offline: bool) -> pa.Table:
    """The same rows and columns as the table ``covertype.csv`` of the UCI repository."""
    from sklearn.datasets import fetch_covtype

    bunch = _fetched("covertype", offline, lambda: fetch_covtype(download_if_missing=not offline))
    numbers = [name for name in bunch.feature_names if not name.startswith(("Wilderness_Area", "Soil_Type"))]
    ones = [f"Wilderness_Area{area + 1}" for area in range(AREAS)] + [f"Soil_Type{soil + 1}" for soil in range(SOILS)]
    columns = {name: bunch.data[:, place] for place, name in enumerate([*numbers, *ones])}
    return pa.table({**columns, "Cover_Type": bunch.target.astype(np.int64)})


def _openml(name: str, offline: bool) -> pa.Table:
    """A dataset of openml.org by its number or name; categories by their names."""
    from sklearn.datasets import fetch_openml

    wanted = name.removeprefix(OPENML)
    if offline and not _openml_cached(wanted):
        raise UserError(
            f"'{name}' is not in scikit-learn's cache, and downloads are off. Run 'clbench data fetch {name}' on a "
            "machine with a network, or name the dataset by its number, which the cache is kept by."
        )
    chosen = {"data_id": int(wanted)} if wanted.isdigit() else {"name": wanted}
    bunch = _fetched(name, offline, lambda: fetch_openml(**chosen, as_frame=False, parser="liac-arff"))
    if not isinstance(bunch.data, np.ndarray) or bunch.target is None or np.ndim(bunch.target) != 1:
        raise UserError(f"'{name}' has sparse rows or no single column of labels. Choose another dataset.")
    columns = {
        column: _named(bunch.data[:, place], bunch.categories.get(column))
        for place, column in enumerate(bunch.feature_names)
    }
    (label,) = bunch.target_names
    return pa.table({**columns, label: pa.array([None if one is None else str(one) for one in bunch.target])})


def _named(values: Any, categories: list[str] | None) -> pa.Array:
    """A column of numbers, or of names where its numbers are places among ``categories``."""
    numbers = values.astype(np.float64)
    if categories is None:
        return pa.array(numbers)
    return pa.array([None if np.isnan(one) else str(categories[int(one)]) for one in numbers], pa.string())


def _openml_cached(wanted: str) -> bool:
    from sklearn.datasets import get_data_home

    kept = Path(get_data_home()) / "openml" / "openml.org" / "api" / "v1" / "json" / "data" / f"{wanted}.gz"
    return kept.is_file()


def _fetched(name: str, offline: bool, fetch: Any) -> Any:
    try:
        return fetch()
    except Exception as error:  # no network, no such dataset, damaged files: the way out is the same
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise UserError(
            f"scikit-learn cannot give '{name}'{' without a download' if offline else ''}: {reason}. Run 'clbench data "
            f"fetch {name}' on a machine with a network, or put a table {name}.csv under the data root."
        ) from None
