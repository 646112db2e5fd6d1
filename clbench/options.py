"""Options against a schema: defaults filled in, types checked, and one paragraph for what does not fit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ValidationError

from clbench import store
from clbench.errors import UserError, did_you_mean


def validated(
    where: str, schema: type[BaseModel], options: dict[str, Any], known: Iterable[str] | None = None
) -> dict[str, Any]:
    """Options with defaults filled in and types checked, as plain JSON values."""
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
