"""``clbench.stream``: a program's own arrays as what a run learns from."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from clbench import registry
from clbench.api.settings import plain
from clbench.config.layers import Section
from clbench.config.names import scenario_parts
from clbench.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from clbench.data import streams
    from clbench.data.dataset import Dataset, Raw
    from clbench.data.memory import Held

SHOWN = 5  # names of classes
OWN = ("time", "group", "split", "x_test", "y_test", "codes", "name", "classes", "family")


@dataclass(frozen=True, repr=False)
class Stream:
    """Data in memory, and how they are cut into tasks. Printed it says what a run on it would be.

    ``scenario``: the name that runs on it have; ``options``: those of the scenario. It holds copies of what was given.
    """

    scenario: str
    options: Section
    held: Held

    @property
    def data(self) -> Dataset:
        """The dataset."""
        return self.held.data

    @property
    def fingerprint(self) -> str:
        """sha256 of samples, labels and all that is known of each row."""
        return self.data.fingerprint

    @property
    def sections(self) -> Section:
        """What a config says of it: ``scenario`` and ``data``."""
        return {"scenario": {"name": self.scenario, **self.options}, "data": {"fingerprint": self.fingerprint}}

    def known(self) -> AbstractContextManager[None]:
        """Let runs find it for a while."""
        from clbench.data.memory import lent

        return lent(self.held)

    def __repr__(self) -> str:
        return f"<stream {self.scenario}, {_rows(self.data):,} rows, {self.fingerprint[:12]}>"

    def __str__(self) -> str:
        """Say what a run on it would be; what keeps it from being one is a UserError."""
        return "\n".join([_of_data(self.scenario, self.data), _of_tasks(_cut(self))])


def stream(
    x: Any,
    y: Any = None,
    *,
    time: Any = None,
    group: Any = None,
    split: Any = None,
    x_test: Any = None,
    y_test: Any = None,
    codes: bool = False,
    name: str | None = None,
    classes: Sequence[str] | None = None,
    family: str | None = None,
    **options: Any,
) -> Stream:
    """Make a stream of samples ``x`` [n, …] and labels ``y`` [n], for ``clbench.run``, or of a list of tasks.

    Arrays are NumPy's, torch's, or what NumPy makes arrays of. uint8 [n, h, w], [n, h, w, c] or [n, c, h, w] are
    images; other numbers are scaled by what a run has seen so far, NaN is a missing one; with ``codes`` integers are
    codes for an embedding. A data frame of pandas, polars or Arrow is read as a table on disk is: columns of text and
    categories are categories, and ``y``, ``time``, ``group`` and ``split`` may name columns of it. ``time``: when each
    row was taken, dates or numbers; ``group``: where it belongs; ``split``: 'train' or 'test', else a share is held
    out, unless ``x_test`` and ``y_test`` are given. A list [(x, y, x_test, y_test), …], or [(x, y), …], is tasks in
    that order.

    ``family``: how it is cut into tasks, by default 'tasks' a list, 'time' what has times, 'domain' what has groups,
    else 'split'; ``options`` are those of that scenario (``every="month"``, ``tasks=5``). ``name``: what tables call
    it; without one each content has a name of its own. ``classes``: the names of labels 0, 1, ….

    Raises UserError for what cannot be a stream: arrays of different lengths, missing labels, infinite numbers, one
    class, an unknown family or option.
    """
    from clbench.data.arrays import dataset_of
    from clbench.data.cache import arrays_of, fingerprint
    from clbench.data.given import raw_of_samples, raw_of_tasks
    from clbench.data.memory import Held

    tasks = y is None and isinstance(x, list | tuple) and len(x) > 0 and all(isinstance(one, list | tuple) for one in x)
    of_rows = {"time": time, "group": group, "split": split}
    rest = [key for key, one in {**of_rows, "x_test": x_test, "y_test": y_test}.items() if one is not None]
    if tasks and rest:
        raise UserError(f"{rest[0]}: a list of tasks has none. Leave it out, or give x and y as two arrays.")
    if y is None and not tasks:
        raise UserError("y: the labels are missing. Give stream(x, y), or a list of tasks [(x, y, x_test, y_test), …].")
    raw = raw_of_tasks(x, codes) if tasks else raw_of_samples(x, y, x_test, y_test, codes=codes, **of_rows)
    raw = raw if classes is None else _renamed(raw, classes)
    of_itself = "time" if raw.train.times is not None else "domain" if raw.groups else "split"
    kind = family or ("tasks" if tasks else of_itself)
    _check_options(kind, options)
    called = _name(name) if name is not None else f"arrays-{fingerprint(*arrays_of(raw).values())[:8]}"
    scenario = f"{kind}-{called}"
    if scenario_parts(scenario) != (kind, called):
        raise UserError(f"name: '{called}' makes '{scenario}', which is another family's. Choose another name.")
    return Stream(scenario, plain(options), Held(dataset_of(called, raw), raw))


def _check_options(family: str, options: Section) -> None:
    """Raise UserError for a family or option that there is not, with what was meant."""
    from clbench.registry.catalogue import common_options

    known = [one.name for one in (*registry.scenario.check(family).options, *common_options())]
    for key in options:
        if key not in known:
            raise UserError(
                f"{key}: the scenario '{family}' has no such option.{did_you_mean(key, [*known, *OWN])} It has "
                f"{', '.join(known)}."
            )


def _name(name: str) -> str:
    """A name as it stands in that of a scenario; UserError for one of clbench's own."""
    from clbench.data.known import SOURCES
    from clbench.data.sources import OPENML, slug

    found = slug(str(name))
    if not found or found in SOURCES or found.startswith(OPENML):
        raise UserError(f"name: '{name}' is no name for your own data: clbench has a dataset of it. Choose another.")
    return found


def _renamed(raw: Raw, classes: Sequence[str]) -> Raw:
    """Data with names for labels 0, 1, …."""
    names = [str(one) for one in classes]
    known = [str(place) for place in range(len(names))]
    wrong = [label for label in raw.classes if label not in known]
    if wrong or len(set(names)) < len(names):
        what = f"the label {wrong[0]} has no name among {len(names)}" if wrong else "a name is there twice"
        raise UserError(f"classes: {what}. Give one name each for labels 0, 1, …, in order, or leave classes out.")
    return replace(raw, classes=[names[int(label)] for label in raw.classes])


def _rows(data: Dataset) -> int:
    return len(data.train_labels) + (0 if data.undivided else len(data.test_labels))


def _cut(one: Stream) -> streams.Stream:
    """The tasks that a run's first seed would have."""
    from clbench.api.caller import undisturbed

    with undisturbed(), one.known():
        from clbench.config import resolve
        from clbench.data.sources import DataPlace
        from clbench.engine.stream import stream_of

        (config,) = resolve({"strategy": "naive"}, one.sections)
        return stream_of(config, DataPlace.default())[1]


def _of_data(name: str, data: Dataset) -> str:
    """Rows, classes and dates in a line."""
    from clbench.data.calendar import shown

    shape = " × ".join(map(str, data.shape))
    what = f"images {shape}" if data.is_images else f"rows of {shape} columns"
    names = ", ".join(data.classes[:SHOWN]) + (", …" if len(data.classes) > SHOWN else "")
    times = data.train.times
    ends = [] if times is None or not data.calendar else [shown(int(times[end])) for end in (0, -1)]
    dates = f", from {' to '.join(one.removesuffix(' 00:00:00') for one in ends)}" if ends else ""
    groups = f", {len(data.groups)} groups" if data.groups else ""
    return f"{name}: {_rows(data):,} {what}, {len(data.classes)} classes ({names}){groups}{dates}"


def _of_tasks(cut: streams.Stream) -> str:
    """Tasks and their sizes in a line."""
    train, test = ([len(task.train) for task in cut.tasks], [len(task.scored("test")[1]) for task in cut.tasks])
    what = "periods" if cut.periods else f"tasks, {cut.incremental}-incremental"
    return f"{len(cut.tasks)} {what}; each {_range(train)} training and {_range(test)} test samples"


def _range(counts: Sequence[int]) -> str:
    least, most = min(counts), max(counts)
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"
