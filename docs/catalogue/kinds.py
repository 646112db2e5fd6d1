"""Metrics, datasets, optimisers and diagnostics: a page for each kind."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import clbench
from clbench import metrics, registry
from clbench.analysis.diagnosis import QUANTITIES
from clbench.analysis.relative import RELATIVE
from clbench.config.keys import optimizer_options
from clbench.data.known import SOURCES, Source, scenario_names
from clbench.registry.words import taken_apart
from clbench.store.warnings import KINDS
from docs.catalogue.scenarios import stream_link
from docs.catalogue.strategies import options_table, with_words
from docs.catalogue.text import anchor, block, cell, code, escaped, page, prose, table

PACKAGE = Path(clbench.__file__).parent


def metrics_page() -> str:
    """Every metric, with its definition and source."""
    found = {name: one.compute.__doc__ or "" for name, one in metrics.METRICS.items()}
    found |= {name: one.summary for name, one in RELATIVE.items()}
    rows, parts = [], []
    for name, doc in sorted(found.items()):
        one = metrics.METRICS[name] if name in metrics.METRICS else RELATIVE[name]
        said = taken_apart(inspect.cleandoc(doc), ()).prose
        unit = metrics.METRICS[name].unit if name in metrics.METRICS else "share"
        rows.append([f"[{escaped(name)}](#{anchor(name)})", one.better, cell(one.summary)])
        about = f"*{one.better} is better; version {one.version}; {'shown in per cent' if unit == 'share' else unit}.*"
        parts.append(page(f"## {escaped(name)}", about, prose(said)))
    intro = (
        "R[t][j] is the accuracy on task j after stage t; R[0][j] that before any training. A metric is a function of "
        "R, or of R and what was counted on the way. `clbench compare --metric NAME` shows any of them."
    )
    return page("# Metrics", prose(intro.replace("`", "``")), table(["metric", "better", "definition"], rows), *parts)


def datasets_page() -> str:
    """Every named dataset, and the scenarios that it has; other people's come by name or path."""
    pairs = scenario_names(registry.scenario.listed)
    parts = []
    for source in SOURCES.values():
        names = [f"{family}-{name}" for family, name in pairs if name == source.name]
        linked = ", ".join(f"[{escaped(name)}]({stream_link(name)})" for name in names)
        parts.append(
            page(
                f"## {escaped(source.name)}",
                prose(source.summary),
                "\n".join([f"- **Shape:** {'×'.join(map(str, source.shape))}", f"- **Classes:** {source.classes}"]),
                _told(source),
                f"Scenarios: {linked}." if linked else "",
            )
        )
    rows = [
        [
            f"[{escaped(one.name)}](#{anchor(one.name)})",
            "×".join(map(str, one.shape)),
            str(one.classes),
            cell(one.summary),
        ]
        for one in SOURCES.values()
    ]
    rows.append([code("openml-<number>"), "any", "any", "a table of openml.org, through scikit-learn"])
    rows.append([code("<name>"), "any", "any", "your own under the data root: a table, arrays or an image folder"])
    header = ["dataset", "shape", "classes", "what it is"]
    return page(
        "# Datasets", block("clbench list datasets\nclbench data describe FILE", "sh"), table(header, rows), *parts
    )


def _told(source: Source) -> str:
    """How its bytes are known, and which of its columns is which."""
    parts = [f"Official content has the fingerprint {code(source.fingerprint)}."] if source.fingerprint else []
    if source.said:
        parts.append("Columns: " + ", ".join(f"{key} {code(str(value))}" for key, value in source.said.items()) + ".")
    return " ".join(parts)


def optimisers_page() -> str:
    """Every optimiser with its options, and the words of whichever docstring has them."""
    file = PACKAGE / "optimizers" / "__init__.py"
    docs = {
        node.name: ast.get_docstring(node) or ""
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    }
    known: dict[str, str] = {}
    parts = []
    for name, options in optimizer_options().items():
        said = taken_apart(docs[name], [option.name for option in options])
        known = {**known, **said.options}
        parts.append(
            page(f"## {escaped(name)}", prose(said.prose), options_table(with_words("optimizer", options, known)))
        )
    return page(
        "# Optimisers",
        block("clbench run --strategy er --set optimizer.name=adam --set optimizer.lr=0.001", "sh"),
        *parts,
    )


def diagnostics_page() -> str:
    """What '--diagnostics' measures, which pictures show it, and what a Result warns of."""
    rows = [[cell(one.name), "share" if one.share else "number"] for one in QUANTITIES]
    kinds = [
        [escaped(name), cell(one.meaning), cell(one.advice), "yes" if one.spoils else "no"]
        for name, one in KINDS.items()
    ]
    node = next(
        one
        for one in ast.parse((PACKAGE / "diagnostics" / "watch.py").read_text(encoding="utf-8")).body
        if isinstance(one, ast.ClassDef) and one.name == "Diagnostics"
    )
    return page(
        "# Diagnostics",
        block("clbench run --strategy ewc --diagnostics\nclbench diagnose", "sh"),
        prose(ast.get_docstring(node) or ""),
        "## Quantities",
        prose("What ``clbench diagnose`` shows, stage by stage; some are there without ``--diagnostics``."),
        table(["quantity", "unit"], rows),
        "## Warnings",
        "What a reader of a run's numbers must know stands in its Result, and beside its row.",
        table(["kind", "meaning", "what to do", "keeps the row from winning"], kinds),
    )
