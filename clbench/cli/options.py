"""Options that a command does not have but a configuration has: the error says how they are set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from typer.core import TyperCommand

from clbench.errors import UserError

UNITS = ("strategy", "scenario", "model")


class SetsKeys(TyperCommand):
    """A command with ``--set``: ``--epochs 5`` is answered with ``--set epochs=5``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Look at the words first: the parser would only say that there is no such option."""
        refuse_keys(ctx, self, args, lambda key, value: f"--set {key}={value}")
        return super().parse_args(ctx, args)


class PlansKeys(TyperCommand):
    """A command that reads a plan: ``--epochs 5`` is answered with the line of the plan."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Likewise."""
        refuse_keys(ctx, self, args, lambda key, value: f"'grid: {{{key}: [{value}]}}' in the plan")
        return super().parse_args(ctx, args)


def refuse_keys(ctx: Any, command: TyperCommand, args: list[str], told: Callable[[str, str], str]) -> None:
    """Raise UserError for an option that is none of the command's but a key of a configuration, or its last part."""
    if ctx.resilient_parsing:  # the shell completes a line that is not yet written
        return
    own = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    for place, word in enumerate(args):
        name, _, value = word.partition("=")
        if name == "--":
            return
        if len(name) < 3 or name[0] != "-" or name in own:
            continue
        found = _named(name, args)
        if found:
            value = value or _value(args[place:], name) or "…"
            meant = " or ".join(told(key, value) for key in found)
            raise UserError(f"{name} is no option of '{_path(ctx)}'; did you mean {meant}?")


def _path(ctx: Any) -> str:
    """The command's words, such as 'sweep run'."""
    above = _path(ctx.parent) if ctx.parent is not None and ctx.parent.parent is not None else ""
    return f"{above} {ctx.info_name}".strip()


def _named(option: str, args: list[str]) -> list[str]:
    """The keys that an option names: those of the units that the other words choose."""
    from clbench.config import keys

    chosen = {unit: _value(args, f"--{unit}") for unit in UNITS}
    found = keys.named(option.lstrip("-"), keys.keys(chosen))
    # What only some method has, and a choice that nobody made, is meant only if nothing else is.
    unlikely = [unit for unit in ("pretrain", "strategy") if _value(args, f"--{unit}") is None]
    likely = [key for key in found if key.partition(".")[0] not in unlikely]
    return likely or found


def _value(args: list[str], option: str) -> str | None:
    """What is given to an option, as '--option value' or '--option=value'; None if nothing is."""
    for word, after in zip(args, [*args[1:], "--"], strict=True):
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
        if word == option and (not after.startswith("-") or after[1:2].isdigit() or after[1:2] == "."):
            return after
    return None
