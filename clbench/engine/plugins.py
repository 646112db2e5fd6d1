"""From a configuration to its method: the plugins of a composition, a whole strategy of Avalanche's, the stages."""

from __future__ import annotations

from clbench import registry, store
from clbench.avalanche import JointTraining, SupervisedPlugin
from clbench.config import RunConfig, components
from clbench.data.streams import Stream
from clbench.errors import UserError
from clbench.strategy import Strategy
from clbench.strategy.composition import clash, part_of


def guest_of(config: RunConfig) -> registry.Declared | None:
    """Return the part of a strategy that is a whole one of Avalanche's; UserError if there are two."""
    units = [registry.strategy.load(name) for name in store.parts(config.strategy["name"])]
    whole = [unit for unit in units if unit.terms is not None and unit.terms.whole]
    if len(whole) > 1:
        raise UserError(
            f"strategy: each of '{whole[0].name}' and '{whole[1].name}' has a training loop of its own. Keep one of "
            "them; plugins can be added to it."
        )
    return whole[0] if whole else None


def plugins_of(config: RunConfig) -> list[SupervisedPlugin]:
    """Make the strategy's parts, but for a whole one of Avalanche's; UserError if one is no plugin."""
    plugins = []
    guest = guest_of(config)
    for name, options in components(config.strategy):
        if guest is not None and name == guest.name:
            continue
        plugin = registry.strategy.load(name).make(**options)
        if not isinstance(plugin, SupervisedPlugin):
            raise UserError(
                f"strategy '{name}' makes a {type(plugin).__name__}, which is no Avalanche SupervisedPlugin. "
                "Name a plugin class, for instance avalanche.training.plugins.EWCPlugin."
            )
        if guest is not None and isinstance(plugin, Strategy):
            raise UserError(
                f"strategy: '{guest.name}' trains by a loop of its own, which '{name}' cannot work in. Compose it with "
                "plugins of avalanche.training.plugins, or run the two one by one."
            )
        plugins.append(plugin)
    if guest is not None:
        return plugins
    _check_composition(config.strategy["name"], plugins)
    return plugins


def _check_composition(name: str, plugins: list[SupervisedPlugin]) -> None:
    """Refuse parts that exclude each other."""
    parts = {f"'{part}'": part_of(plugin) for part, plugin in zip(store.parts(name), plugins, strict=True)}
    found = clash(parts)
    if found is not None:
        raise UserError(f"strategy: '{name}' makes no sense: {found.why}. {found.instead}.")


def stages_of(
    plugins: list[SupervisedPlugin], stream: Stream, guest: registry.Declared | None = None
) -> list[list[int]]:
    """Return the stream's stages, or those that the strategy asks for; at most one part of a composition may."""
    if guest is not None and issubclass(guest.make, JointTraining):  # type: ignore[arg-type]
        return [list(range(len(stream.tasks)))]  # it trains once
    asked = [p.stages(len(stream.tasks)) for p in plugins if isinstance(p, Strategy)]
    changed = [stages for stages in asked if stages is not None]
    if len(changed) > 1:
        raise UserError(
            "strategy: at most one part of a composition may change which data a stage uses (joint, cumulative, …)."
        )
    return changed[0] if changed else stream.stages
