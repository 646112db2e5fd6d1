"""Standard settings: names under which the field compares, each a stream of some scenario with the options it takes.

One file each in ``scenarios/standard``, read as a config: 'split-cifar100-b50' is 'split-class-cifar100' with fifty
classes first. A run has the stream's own name and the options, so that it is the run that writes them out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from clbench.config.layers import Section, merge
from clbench.config.shipped import shipped
from clbench.yaml_files import read_yaml


@dataclass(frozen=True)
class Standard:
    """What a name stands for: what it is, and the layer of a config behind it, with the stream's own name."""

    name: str
    about: str
    config: Section

    @property
    def scenario(self) -> str:
        """The name of the stream, '<family>-<dataset>'."""
        return str(self.config["scenario"]["name"])

    def over(self, recipe: Mapping[str, Any]) -> Section:
        """Return the stream's recipe with what the setting says."""
        return merge(recipe, self.config)


@cache
def standards() -> dict[str, Standard]:
    """Return every standard setting by name, in alphabetical order."""
    found = {}
    for file in shipped("standard"):
        config = read_yaml(file)
        found[file.stem] = Standard(file.stem, str(config.pop("about")), config)
    return found


def stream_name(name: str) -> str:
    """Return the name of the stream that a scenario's name stands for: most stand for themselves."""
    known = standards().get(name)
    return name if known is None else known.scenario
