"""Options: their types, the model that a callable's parameters make, and what is said of what does not fit."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

from annotated_types import Ge, Gt, Le, Lt

from clbench import store
from clbench.errors import UserError, did_you_mean
from clbench.registry import guests
from clbench.registry.foreign import is_option, written_type

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

# Types for options, with their ranges.
NonNegative = Annotated[float, Ge(0)]
Positive = Annotated[float, Gt(0)]
UnitInterval = Annotated[float, Ge(0), Le(1)]
Share = Annotated[float, Ge(0), Lt(1)]
Ratio = Annotated[float, Ge(1)]
Count = Annotated[int, Ge(1)]
Shape = tuple[int, ...]  # of one sample: (channels, height, width) of an image, (features,) of a vector


def options_model(
    name: str,
    make: Callable[..., Any],
    *,
    keyword_only: bool = True,
    lenient: bool = False,
    terms: guests.Terms | None = None,
) -> type[BaseModel]:
    """Turn a callable's parameters into a pydantic model that refuses unknown keys, NaN and infinity.

    By default only keyword-only parameters are options; the others are what the engine hands over. ``lenient``, for
    networks from elsewhere: types that YAML has no word for are not checked, and ``**kwargs`` takes keys of any name.
    ``terms``, for what Avalanche makes: the parameters that are no options, and defaults of others.
    """
    from pydantic import ConfigDict, create_model

    target = make.__init__ if inspect.isclass(make) else make
    try:
        hints = get_type_hints(target, include_extras=True)
    except (NameError, TypeError):  # other people's plugins may annotate with names that are not importable
        hints = {}
    fields: dict[str, Any] = {}
    extra: Literal["allow", "forbid"] = "forbid"
    for parameter in inspect.signature(make).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            if lenient and terms is None and parameter.kind is parameter.VAR_KEYWORD:
                extra = "allow"
            continue
        if lenient and (not is_option(parameter) if terms is None else parameter.name in terms.supplied):
            continue
        if keyword_only and parameter.kind is not parameter.KEYWORD_ONLY:
            continue
        own = {} if terms is None else terms.defaults
        default = own.get(parameter.name, ...) if parameter.default is parameter.empty else parameter.default
        hint = hints.get(parameter.name, Any)
        if terms is not None and hint is int and isinstance(default, float):
            hint = float  # as it is used, whatever the annotation says
        fields[parameter.name] = (written_type(hint, default) if lenient else hint, default)
    config = ConfigDict(
        extra=extra,
        allow_inf_nan=False,
        validate_default=True,
        arbitrary_types_allowed=True,
        protected_namespaces=(),
    )
    return create_model(name, __config__=config, **fields)


@cache
def section_model(name: str, declare: Callable[..., None]) -> type[BaseModel]:
    """The model of options that one of clbench's own functions declares, made once: a sweep asks for each run."""
    return options_model(name, declare)


def validated(
    where: str, schema: type[BaseModel], options: dict[str, Any], known: Iterable[str] | None = None
) -> dict[str, Any]:
    """Options with defaults filled in and types checked, as plain JSON values."""
    from pydantic import ValidationError

    try:
        model = schema.model_validate(options)
    except ValidationError as error:
        raise user_error(where, error, known or schema.model_fields) from None
    try:
        return model.model_dump(mode="json")
    except ValueError:  # an option of somebody else's plugin that is no plain value, left at its default
        return {key: value for key, value in model.model_dump().items() if store.is_plain(value)}


def user_error(where: str, error: ValidationError, known: Iterable[str]) -> UserError:
    """One paragraph from pydantic's first complaint."""
    first = error.errors()[0]
    path = ".".join(str(part) for part in ((where,) if where else ()) + first["loc"])
    known = list(known)
    match first["type"]:
        case "extra_forbidden":
            name = str(first["loc"][-1])
            options = f"Its options are {', '.join(known)}." if known else "It has no options."
            return UserError(f"Unknown option '{path}'.{did_you_mean(name, known)} {options}")
        case "missing":
            return UserError(f"{path} is required and has no default. Add --set {path}=…")
        case "value_error":
            message = str(first["msg"]).removeprefix("Value error, ")
            return UserError(f"{path}: {message}." if path else f"{message}.")
    message = str(first["msg"]).removeprefix("Input should be ").removeprefix("Value error, ")
    return UserError(f"{path}: expected {message}, got {first['input']!r}. Set it with --set {path}=… or in the YAML.")
