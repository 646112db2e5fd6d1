"""Strategies as objects: copied for each seed, known by class, options and source."""

from __future__ import annotations

import importlib.util
import linecache
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import clbench as cl
from clbench import registry
from clbench.api.instances import STATE, Lent, lent
from clbench.api.source_text import UNKNOWN
from clbench.avalanche import SupervisedPlugin
from clbench.strategy import Learner, Strategy, gradients, named_weights, values

SMALL: dict[str, Any] = {
    "scenario": {"name": "split-digits", "samples_per_task": 48},
    "model": {"name": "mlp", "widths": [12]},
    "epochs": 1,
    "quiet": True,
}


class ShrinkingHard(Strategy):
    """Pull every weight towards zero; count the stages."""

    def __init__(self, strength: float = 0.5, *, sizes: tuple[int, ...] = (1, 2)) -> None:
        super().__init__()
        self.strength, self.sizes = strength, sizes
        self.stages_seen: list[int] = []

    def before_training_exp(self, learner: Learner, **kwargs: Any) -> None:
        if self.stages_seen != list(range(learner.stage)):  # no assert: pytest rewrites those, and the source is read
            raise RuntimeError("a copy that another seed has used")
        self.stages_seen.append(learner.stage)

    def before_update(self, learner: Learner, **kwargs: Any) -> None:
        weights = list(named_weights(learner.model).values())
        for gradient, weight in zip(gradients(weights), values(weights), strict=True):
            gradient.add_(weight, alpha=self.strength)


def test_each_seed_has_a_copy_and_the_object_stays_as_it_is() -> None:
    method = ShrinkingHard(strength=0.25)
    made = cl.run(method, seeds=2, **SMALL)
    assert method.stages_seen == []
    assert made[0].config["strategy"] == {"name": "shrinking-hard", "strength": 0.25, "sizes": [1, 2]}
    code = made[0].code["strategy shrinking-hard"]
    assert (code.source, code.version) == (Path(__file__).name, 1)
    assert made[0].accuracy != cl.run("naive", **SMALL)[0].accuracy
    again = cl.run(ShrinkingHard(strength=0.25), **SMALL)
    assert (again[0].run_id, again[0].accuracy) == (made[0].run_id, made[0].accuracy)
    assert cl.run(ShrinkingHard(strength=0.5), **SMALL)[0].run_id != made[0].run_id
    assert "shrinking-hard" not in registry.strategy, "known only while it is run"
    assert len(cl.compare([made, again]).leaderboards[0].entries[0].seeds) == 2


def test_an_object_of_the_catalogue_is_what_its_name_is() -> None:
    made = registry.strategy.load("l2-init").make(lam=2)
    named = cl.run("l2-init", lam=2, **SMALL)
    assert cl.run(made, **SMALL)[0].run_id == named[0].run_id
    assert cl.run(made, **SMALL)[0].accuracy == named[0].accuracy
    joint = cl.run(registry.strategy.load("joint").make(), **SMALL)
    assert joint[0].role == "bound"


def test_a_plugin_of_avalanche_runs_as_it_does_by_import_path() -> None:
    from avalanche.training.plugins import EWCPlugin

    made = cl.run(EWCPlugin(ewc_lambda=1.0), **SMALL)
    named = cl.run("avalanche.training.plugins.EWCPlugin", ewc_lambda=1, **SMALL)
    assert made[0].accuracy == named[0].accuracy
    assert made[0].strategy == "ewc-plugin"
    code = made[0].code["strategy ewc-plugin"]
    assert str(code).startswith("avalanche-lib 0.6.0, code ")


def test_objects_that_options_do_not_tell_apart_are_told_apart() -> None:
    from avalanche.training.plugins import LwFPlugin

    one, same, other = (lent(LwFPlugin(alpha=alpha)).options for alpha in (1.0, 1.0, 2.0))
    assert one == same != other
    assert one.keys() == {STATE}

    class Locked(SupervisedPlugin):
        def __init__(self, size: int) -> None:
            super().__init__()
            self.own = lambda: size

    assert lent(Locked(1)).options != lent(Locked(1)).options, "nothing says that they are the same"


def test_options_are_not_given_twice() -> None:
    dotted: dict[str, Any] = {"strategy.strength": 1}
    with pytest.raises(cl.UserError, match="strength: the strategy is an object that has its options already"):
        cl.run(ShrinkingHard(), **dotted, **SMALL)
    with pytest.raises(cl.UserError, match="Unknown key 'strength'"):
        cl.run(ShrinkingHard(), strength=1, **SMALL)


class Naive(Strategy):
    """Called like another."""


class Holding(Strategy):
    """Holds what cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        (ShrinkingHard, "ShrinkingHard is a class. Make an object of it"),
        (3, "expected a name such as 'ewc', .* got an object of type int"),
        (Naive(), "the class Naive is called like clbench's 'naive'"),
        (Holding(), "the Holding cannot be copied .*lock.* before_training"),
    ],
)
def test_what_is_no_strategy(thing: Any, words: str) -> None:
    with pytest.raises(cl.UserError, match=words):
        cl.run(thing, **SMALL)


# Where the source is.

CELL = '''
from clbench.strategy import Strategy
class Base(Strategy):
    def helped(self): return 1
class Mine(Base):
    """Mine."""
    rate = 1
    def after_update(self, learner, **kwargs): self.helped()
'''


def in_a_notebook(text: str, cell: int, remembered: bool = True) -> Lent:
    """An object of a class that a cell defines; notebooks keep cells in linecache."""
    module = ModuleType("cells")
    file = f"<cell {cell}>"
    sys.modules["cells"] = module
    if remembered:
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    exec(compile(text, file, "exec"), vars(module))
    return lent(vars(module)["Mine"]())


@pytest.fixture(autouse=True)
def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cells", ModuleType("cells"))


def sha(unit: Lent) -> str:
    assert unit.origin is not None
    return unit.origin.sha256


def test_a_class_of_a_notebook_is_known_by_its_text() -> None:
    first = in_a_notebook(CELL, 1)
    assert first.origin is not None
    assert first.origin.source == "notebook.py"
    assert sha(in_a_notebook("import os\n" + CELL, 2)) == sha(first), "the rest of the cell is not the class"
    assert sha(in_a_notebook(CELL.replace("rate = 1", "rate = 2"), 3)) != sha(first)
    assert sha(in_a_notebook(CELL.replace("return 1", "return 2"), 4)) != sha(first), "what it builds on counts"


def test_a_class_without_text_is_itself_in_this_process_alone() -> None:
    one, other = (in_a_notebook(CELL, cell, remembered=False) for cell in (5, 6))
    assert one.origin is not None
    assert one.origin.source == UNKNOWN
    assert sha(one) != sha(other)
    kind = type(one.make())
    assert sha(lent(kind())) == sha(one)


def test_a_file_that_was_edited_after_it_was_loaded_does_not_speak_for_the_class(tmp_path: Path) -> None:
    file = tmp_path / "edited_methods.py"

    def loaded() -> Lent:
        spec = importlib.util.spec_from_file_location("edited_methods", file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["edited_methods"] = module
        exec(compile(file.read_text(), str(file), "exec", dont_inherit=True), vars(module))
        return lent(vars(module)["Mine"]())

    file.write_text(CELL)
    first = loaded()
    thing = first.make()
    assert first.origin is not None
    assert first.origin.source == "edited_methods.py"
    file.write_text(CELL.replace("self.helped()", "self.helped() + 1"))
    stale = lent(thing)
    assert stale.origin is not None
    assert stale.origin.source == UNKNOWN
    again = loaded()
    assert again.origin is not None
    assert again.origin.source == "edited_methods.py"
    assert len({sha(first), sha(stale), sha(again)}) == 3
    del sys.modules["edited_methods"]
