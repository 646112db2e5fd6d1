from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from clbench.data import cache
from clbench.data.dataset import Dataset
from clbench.data.sources import DataPlace
from tests.real_data import prepared


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Test workers share the cores; two threads each would spin against each other."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests decode into a cache of their own and never download."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("CLBENCH_OFFLINE", "1")
        patch.delenv("CLBENCH_DATA", raising=False)
        yield


@pytest.fixture(scope="module")
def digits() -> Dataset:
    """The bundled digits."""
    return cache.load("digits", DataPlace.default())


@pytest.fixture(scope="session")
def real_data() -> Path:
    """A data root with real MNIST and CIFAR-10 images."""
    root = prepared()
    if root is None:
        pytest.skip("real images are not here: set CLBENCH_TEST_DATA, or provide ../shared/data")
    return root
