"""Result ⇄ JSON: the only door between training and telling. Imports no torch."""

from clbench.store.files import expand, find, path_of, place, read, unwritable, write, write_bytes, write_text
from clbench.store.later import shortened
from clbench.store.schema import (
    SCHEMA_VERSION,
    DataInfo,
    MetricValue,
    ModelInfo,
    Result,
    ScenarioInfo,
    StageCost,
    canonical,
    digest,
    parts,
)

__all__ = [
    "SCHEMA_VERSION",
    "DataInfo",
    "MetricValue",
    "ModelInfo",
    "Result",
    "ScenarioInfo",
    "StageCost",
    "canonical",
    "digest",
    "expand",
    "find",
    "parts",
    "path_of",
    "place",
    "read",
    "shortened",
    "unwritable",
    "write",
    "write_bytes",
    "write_text",
]
