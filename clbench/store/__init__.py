"""Result ⇄ JSON: the only door between training and telling. Imports no torch."""

from clbench.store.atomic import write_bytes, write_text
from clbench.store.files import (
    content_of,
    expand,
    find,
    name,
    name_of,
    parsed,
    path_of,
    read,
    unwritable,
    write,
    write_to,
)
from clbench.store.folders import Folder, LocalFolder, open_folder
from clbench.store.later import shortened
from clbench.store.schema import (
    SCHEMA_VERSION,
    Code,
    DataInfo,
    MetricValue,
    ModelInfo,
    Result,
    ScenarioInfo,
    StageCost,
    canonical,
    digest,
    flat,
    parts,
)

__all__ = [
    "SCHEMA_VERSION",
    "Code",
    "DataInfo",
    "Folder",
    "LocalFolder",
    "MetricValue",
    "ModelInfo",
    "Result",
    "ScenarioInfo",
    "StageCost",
    "canonical",
    "content_of",
    "digest",
    "expand",
    "find",
    "flat",
    "name",
    "name_of",
    "open_folder",
    "parsed",
    "parts",
    "path_of",
    "read",
    "shortened",
    "unwritable",
    "write",
    "write_bytes",
    "write_text",
    "write_to",
]
