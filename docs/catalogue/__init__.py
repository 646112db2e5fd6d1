"""The generated half of the documentation: ``python -m docs.catalogue DEST`` writes catalogue and reference.

Everything on these pages is read from the code that runs – docstrings, signatures, checks, the command line's own
parameters, schemas – and from the committed Results. Nothing is written by hand twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def generate(into: Path) -> None:
    """Write every page below a folder: ``catalogue/…`` and ``reference/…``; files of other names there stay."""
    from clbench.store import write_text

    for name, text in pages():
        file = into / name
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, text)


def pages() -> Iterator[tuple[str, str]]:
    """Return every page as its path below the folder and its text."""
    from clbench import registry
    from docs.catalogue import boards, chosen, index, kinds, models, picture, reference, scenarios, strategies
    from docs.catalogue.text import slugs

    names = slugs(registry.strategy.listed)
    yield "catalogue/index.md", index.index_page()
    yield "catalogue/boards.md", boards.boards_page()
    yield "catalogue/recipes.md", chosen.recipes_page(names)
    yield "catalogue/metrics.md", kinds.metrics_page()
    yield "catalogue/datasets.md", kinds.datasets_page()
    yield "catalogue/optimisers.md", kinds.optimisers_page()
    yield "catalogue/diagnostics.md", kinds.diagnostics_page()
    yield "catalogue/scenario-options.md", scenarios.options_page()
    for name, unit in registry.strategy.listed.items():
        yield f"catalogue/strategies/{names[name]}.md", strategies.strategy_page(unit)
        places = boards.places(name)
        if places:
            yield f"catalogue/strategies/{names[name]}.svg", picture.drawn(name, places)
    for name, file in slugs(registry.scenario.listed).items():
        yield f"catalogue/scenarios/{file}.md", scenarios.family_page(registry.scenario.listed[name])
    for name, file in slugs(registry.model.listed).items():
        yield f"catalogue/networks/{file}.md", models.model_page(registry.model.listed[name])
    yield from reference.pages()
