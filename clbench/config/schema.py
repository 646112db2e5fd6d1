"""JSON schemas, for editors that complete YAML and for programs that read Results. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clbench import registry
from clbench.config import RunConfig
from clbench.config.names import scenario_parts
from clbench.config.standard import standards
from clbench.registry.catalogue import WORDS, Listed, Option, common_options, options_of_function
from clbench.store import SCHEMA_VERSION, Result

Schema = dict[str, Any]
DIALECT = "https://json-schema.org/draft/2020-12/schema"
# How the words of the catalogue read in JSON schema.
TYPES: dict[str, Schema] = {
    WORDS["NonNegative"]: {"type": "number", "minimum": 0},
    WORDS["Positive"]: {"type": "number", "exclusiveMinimum": 0},
    WORDS["UnitInterval"]: {"type": "number", "minimum": 0, "maximum": 1},
    WORDS["Share"]: {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
    WORDS["Ratio"]: {"type": "number", "minimum": 1},
    WORDS["Count"]: {"type": "integer", "minimum": 1},
    WORDS["bool"]: {"type": "boolean"},
    WORDS["float"]: {"type": "number"},
    WORDS["int"]: {"type": "integer"},
    WORDS["str"]: {"type": "string"},
    WORDS["None"]: {"type": "null"},
}


def result_schema() -> Schema:
    """Return the schema of a Result file."""
    schema = Result.model_json_schema()
    schema["properties"]["checksum"] = {"type": "string", "description": "sha256 of the canonical JSON of all else"}
    return {"$schema": DIALECT, "title": f"clbench Result, version {SCHEMA_VERSION}"} | {
        key: value for key, value in schema.items() if key != "title"
    }


def config_schema() -> Schema:
    """Return the schema of a YAML config: every strategy, scenario and model with its options."""
    from clbench.data.known import scenario_names

    data_options = options_of_function(Path(__file__).parents[1] / "data" / "description.py", "data_options")
    said = {key: value for key, value in _properties(data_options).items() if key != "name"}
    own = RunConfig.model_json_schema()["properties"]
    others = ("strategy", "scenario", "model", "optimizer", "code")
    plain = {key: value for key, value in own.items() if key not in others}
    seeds = {"description": "how many, or which", "anyOf": [_COUNT, {"type": "array", "items": _SEED}]}
    units = registry.scenario.listed
    scenarios = {f"{family}-{source}": units[family] for family, source in scenario_names(units)}
    scenarios |= {name: units[scenario_parts(name)[0]] for name in standards()}
    properties = {
        "strategy": _section(registry.strategy.listed, "a name, a composition such as ewc+er, or an import path"),
        "scenario": _section(scenarios, "<family>-<dataset>", common_options()),
        "model": _section(registry.model.listed, "a network", [Option("classifier", _CLASSIFIERS, "auto")]),
        "optimizer": {"description": "sgd, adam, adamw or sam, with lr and more", "type": _NAMED},
        **{key: value for key, value in plain.items() if key != "seed"},
        "data": {
            "description": "the path of a table or an image folder, or what its columns are",
            "anyOf": [
                {"type": ["string", "null"]},
                {"type": "object", "properties": said, "additionalProperties": False},
            ],
        },
        "pretrain": {"description": "a dataset, a .safetensors file, or name and more", "type": [*_NAMED, "null"]},
        "tune": {"description": "how 'clbench tune' chooses settings", "type": "object"},
        "seeds": seeds,
    }
    return {
        "$schema": DIALECT,
        "title": "clbench config",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "required": ["strategy"],
    }


_NAMED = ["string", "object"]
_COUNT: Schema = {"type": "integer", "minimum": 1}
_SEED: Schema = {"type": "integer", "minimum": 0}
_CLASSIFIERS = "auto | single | growing | multi"


def _section(units: dict[str, Listed], description: str, common: Sequence[Option] = ()) -> Schema:
    """A name, or a name with options; names outside the catalogue (plugins, folders) may have any."""
    known = [
        {
            "if": {"properties": {"name": {"const": name}}, "required": ["name"]},
            "then": {"properties": _properties([*unit.options, *common]), "additionalProperties": False},
        }
        for name, unit in units.items()
    ]
    completed = {"anyOf": [{"enum": list(units)}, {"type": "string"}]}
    return {
        "description": description,
        "anyOf": [
            completed,
            {"type": "object", "properties": {"name": completed}, "allOf": known},
        ],
    }


def _properties(options: Sequence[Option]) -> Schema:
    return {"name": {"type": "string"}} | {
        option.name: _type(option.type) | {"description": f"{option.type}; default {option.default}"}
        for option in options
    }


def _type(words: str) -> Schema:
    """``number ≥ 0 or null`` as a schema; whatever the catalogue has no word for may be anything."""
    parts = words.split(" or ")
    if len(parts) > 1:
        return {"anyOf": [_type(part) for part in parts]}
    if words in TYPES:
        return dict(TYPES[words])
    if words.startswith("list of: "):
        return {"type": "array", "items": _type(words.removeprefix("list of: "))}
    return {"enum": words.split(" | ")} if " | " in words else {}
