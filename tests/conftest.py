from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from clbench.data import cache
from clbench.data.dataset import Dataset
from clbench.data.sources import DataPlace
from clbench.registry import REGISTRIES
from clbench.registry.origins import PLUGIN
from tests.real_data import prepared

# Files of tests that train whole runs, start processes or open a browser: 'make quick' leaves them out.
SLOW = """
    answers api api_networks api_objects api_streams bests blurry boards_on_bad_input checkpoint class_incremental
    cli cli_telling code completion costs described diagnostics docs_catalogue embed engine faults features
    first_session foreign frozen_features guests holding long_streams meta_device online pages plasticity plots
    quadratic reference_memory reference_networks reference_plasticity reference_quadratic reference_removal
    regularisers rehearsal removal replay report report_browser reproduce results s3 schema site snippets
    strategy_contract strategy_families sweep time trackers tune uneven units walls warnings within wrong_words
""".split()  # noqa: SIM905


def pytest_addoption(parser: pytest.Parser) -> None:
    """The inner loop's tests alone."""
    parser.addoption("--quick", action="store_true", help="leave out the files that take longest")


def pytest_collection_finish() -> None:
    """Leave what has been imported out of garbage collection: there is much of it, and it stays."""
    gc.collect()
    gc.freeze()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With --quick, skip the slow files without importing them."""
    slow = config.getoption("--quick") and collection_path.stem.removeprefix("test_") in SLOW
    return True if slow else None


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Test workers share the cores; two threads each, as convolutions get them, would spin against each other."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("clbench.engine.assemble.choose_threads", lambda threads, *_: threads or 1)
        yield


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests decode into a cache of their own, which workers share, and never download."""
    folder = tmp_path_factory.getbasetemp()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLBENCH_CACHE", str((folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "cache"))
        patch.setenv("CLBENCH_OFFLINE", "1")
        patch.delenv("CLBENCH_DATA", raising=False)
        yield


@pytest.fixture(autouse=True)
def forget_plugins() -> Iterator[Callable[[], None]]:
    """Plugins leave with the test that named them; a function after which they are unknown within it."""
    known = {kind: dict(kind._declared) for kind in REGISTRIES.values()}
    files = {kind: list(kind._plugin_files) for kind in REGISTRIES.values()}

    def forget() -> None:
        for name in [name for name in sys.modules if name.startswith(PLUGIN)]:
            del sys.modules[name]
        for kind in REGISTRIES.values():
            for name in known[kind].keys() ^ kind._declared.keys():
                if kind._declared[name].make.__module__.startswith("clbench."):
                    known[kind][name] = kind._declared[name]  # loaded meanwhile
            kind._declared = dict(known[kind])
            kind._plugin_files = list(files[kind])
            kind.__dict__.pop("listed", None)

    yield forget
    named = any(kind._plugin_files != files[kind] for kind in REGISTRIES.values())
    if named or any(name.startswith(PLUGIN) for name in sys.modules):
        forget()


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
