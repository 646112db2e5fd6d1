"""The reference: commands, keys, Results, the Python interface and exit codes, each read from what defines it."""

from __future__ import annotations

from collections.abc import Iterator

from docs.catalogue.reference import commands, config_keys, exit_codes, python, result
from docs.catalogue.text import page

INDEX = """# Reference

- [Commands](commands.md): every command with its options
- [Keys](keys.md): every key of a configuration, for YAML and `--set`
- [Result](result.md): what a Result file holds
- [Python](python.md): the verbs of the command line as functions, `import clbench as cl`
- [Exit codes](exit-codes.md): what a script may rely on
- [Catalogue](../catalogue/index.md): strategies, scenarios, networks, metrics, datasets, optimisers
"""


def pages() -> Iterator[tuple[str, str]]:
    """Return the pages of the reference as path and text."""
    yield "reference/index.md", page(INDEX)
    yield "reference/commands.md", commands.commands_page()
    yield "reference/keys.md", config_keys.keys_page()
    yield "reference/result.md", result.result_page()
    yield "reference/python.md", python.python_page()
    yield "reference/exit-codes.md", exit_codes.exit_codes_page()
