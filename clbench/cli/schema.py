"""``clbench schema``: the JSON schemas of files."""

from __future__ import annotations

import json
import sys
from enum import Enum
from typing import Annotated

import typer

EXAMPLES = """[bold]Examples[/bold]

clbench schema config > clbench.config.schema.json

clbench schema result"""


class Kind(str, Enum):
    """Files with a schema."""

    result = "result"
    config = "config"


def schema(kind: Annotated[Kind, typer.Argument(help="Kind of file.")]) -> None:
    """Print the JSON schema of Result files or of YAML configs; editors complete and check YAML with the latter."""
    from clbench.config import schema as schemas

    made = schemas.result_schema() if kind is Kind.result else schemas.config_schema()
    json.dump(made, sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")
