"""Strategies as objects: what a run's description says of one, and a fresh copy for each seed."""

from __future__ import annotations

import copy
import hashlib
import inspect
import pickle
import re
import uuid
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from clbench import registry, store
from clbench.api.settings import plain
from clbench.api.source_text import code_of
from clbench.config.layers import Section
from clbench.errors import UserError
from clbench.registry import Declared
from clbench.registry.origins import Origin

if TYPE_CHECKING:
    from pydantic import BaseModel

STATE = "state"  # the option that tells objects apart whose options do not


@dataclass(frozen=True)
class Lent(Declared):
    """An object that stands in for a unit while it is run. ``options``: what can be said of how it was made."""

    options: Mapping[str, Any] = field(default_factory=dict)
    code: Origin | None = None

    @property
    def origin(self) -> Origin | None:
        """Where its class comes from."""
        return self.code

    @cached_property
    def schema(self) -> type[BaseModel]:
        """Its options with the values that they have; there are no others."""
        from pydantic import ConfigDict, create_model

        fields: dict[str, Any] = {name: (Any, value) for name, value in self.options.items()}
        return create_model(self.name, __config__=ConfigDict(extra="forbid", protected_namespaces=()), **fields)

    @property
    def section(self) -> Section:
        """The section of its runs, ``strategy`` or ``model``."""
        return {"name": self.name, **self.options}

    def known(self, units: registry.Registry = registry.strategy) -> AbstractContextManager[None]:
        """Make it known for a while among units of a kind."""
        return units.lent(self)


def lent(thing: object) -> Lent:
    """Return an object as a unit: each run has a copy of it as it is now, and it stays as it is.

    Its name is that of its class, as declared or with '-' between words; its options are the parameters of its
    constructor that it has as attributes of plain values. Where some cannot be told so, ``state`` stands for them.
    Raises UserError for what is no strategy, or cannot be copied, or is called like another strategy.
    """
    from clbench.avalanche import SupervisedPlugin

    if isinstance(thing, type):
        raise UserError(f"strategy: {thing.__name__} is a class. Make an object of it: {thing.__name__}(…).")
    if not isinstance(thing, SupervisedPlugin):
        raise UserError(
            f"strategy: expected a name such as 'ewc', a mapping such as {{'name': 'ewc', 'lam': 5}}, or an object of "
            f"a Strategy or of an Avalanche SupervisedPlugin, got an object of type {type(thing).__name__}."
        )
    kind = type(thing)
    try:
        kept = copy.deepcopy(thing)
    except Exception as error:
        raise UserError(
            f"strategy: the {kind.__name__} cannot be copied ({type(error).__name__}: {error}), and each seed needs a "
            "copy of its own. Let it open files and the like in before_training."
        ) from None
    declared = registry.strategy.made_by(kind)
    name = declared.name if declared else _in_words(kind.__name__)
    if declared is None and (name in registry.strategy or name in registry.strategy.listed):
        raise UserError(f"strategy: the class {kind.__name__} is called like clbench's '{name}'. Give it another name.")
    return Lent(
        name=name,
        make=lambda **_: copy.deepcopy(kept),
        version=declared.version if declared else 1,
        concerns=declared.concerns if declared else None,
        role=declared.role if declared else "method",
        options=_options_of(thing, declared),
        code=code_of(kind),
    )


def _in_words(name: str) -> str:
    """A class's name in small letters with '-' between words.

    >>> _in_words("MyEWC2Strategy")
    'my-ewc2-strategy'
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).replace("_", "-").lower().strip("-")


def _options_of(thing: object, declared: Declared | None) -> Section:
    """Parameters of the constructor with the values of attributes of the same name; a digest of all, if some have none.

    Two objects that were made otherwise must not be taken for seeds of one method.
    """
    parameters = inspect.signature(type(thing)).parameters.values()
    values = {p.name: plain(getattr(thing, p.name)) for p in parameters if hasattr(thing, p.name)}
    found = {name: value for name, value in values.items() if store.is_plain(value) and name[0] != "_"}
    if all(p.name in found for p in parameters):
        return declared.schema.model_validate(found).model_dump(mode="json") if declared else found
    try:
        state = pickle.dumps(thing)
    except Exception:  # each class has its own
        state = uuid.uuid4().bytes
    return found | {STATE: hashlib.sha256(state).hexdigest()[:12]}
