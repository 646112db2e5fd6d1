"""YAML files, read safely; a mistake is named with its line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from clbench.errors import UserError


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a config file, or standard input for '-'; UserError names the line of a mistake."""
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
        content = yaml.safe_load(text)
    except OSError as error:
        raise UserError(f"--config {path} cannot be read ({error.strerror}). Check the path.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it is not text in UTF-8"
        raise UserError(f"--config {path} is not valid YAML{where}: {problem}. Correct it and run again.") from None
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise UserError(f"--config {path}: expected keys such as 'strategy: ewc' at the top level.")
    return content
