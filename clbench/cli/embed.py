"""``clbench data embed``: a network's features of images, as vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clbench.cli.choices import Device
from clbench.cli.output import for_people, note

EXAMPLES = """[bold]Examples[/bold]

clbench data embed cifar10 --model torchvision.models.resnet18 --pretrained

clbench data embed photos/ --model my_net.py:Net --weights my_net.safetensors -o photos.npz"""


def embed(
    images: Annotated[str, typer.Argument(metavar="IMAGES", help="An image folder, or a dataset's name.")],
    model: Annotated[
        str, typer.Option(help="torchvision.models.resnet18, timm/resnet18, my_net.py:Net or one of clbench's.")
    ],
    weights: Annotated[Path | None, typer.Option(help="Weights of the network, as .safetensors.")] = None,
    pretrained: Annotated[
        bool, typer.Option("--pretrained", help="Let torchvision or timm fetch learnt weights.")
    ] = False,
    layer: Annotated[
        str | None, typer.Option(help="Take the output of this layer. \\[default: what the last linear layer reads]")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write. \\[default: IMAGES-MODEL.npz]")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(min=1, help="Scale images to a square. \\[default: as learnt weights want, or as is]")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Options of the network: model.width=8.")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.auto,
    data_root: Annotated[
        Path | None, typer.Option(help="Folder of datasets. \\[default: $CLBENCH_DATA or the cache]")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never download.")] = False,
) -> None:
    """Run a network over images once and keep its features as a dataset of vectors (.npz)."""
    from rich.progress import Progress

    from clbench.data import cache
    from clbench.data.sources import DataPlace, name_of
    from clbench.data.sources import given as named
    from clbench.engine.embed import embedded, write
    from clbench.engine.embedder import Wanted
    from clbench.errors import UserError

    if weights and pretrained:
        raise UserError("--weights and --pretrained are two choices of weights. Give one of them.")
    if output is not None and output.suffix != ".npz":
        raise UserError(f"-o {output}: expected a file that ends in .npz.")
    place = DataPlace.default(data_root, offline)
    name, said = named(images, {})
    wanted = Wanted(_section(model, settings or []), weights, pretrained, layer, image_size, place.offline)
    data = cache.load(name, place, None, said)
    console = for_people()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"embedding {name}", total=None)
        found = embedded(data, wanted, device.value, lambda done, total: bar.update(task, completed=done, total=total))
    short = name_of(model.replace(":", "-").removesuffix(".py").replace(".", "-").rpartition("models-")[2])
    file = output or Path(f"{name}-{short}.npz")
    write(file, found)
    about = found.about
    note(
        f"wrote {file}: {len(found.x):,} training and {len(found.x_test):,} test vectors of {about['features']:,} "
        f"features ({about['weights']}, input {' × '.join(map(str, about['input']))})"
    )


def _section(model: str, settings: list[str]) -> dict[str, object]:
    """The network and its options, validated; UserError for any other key."""
    from clbench import registry
    from clbench.config.layers import read_assignments
    from clbench.errors import UserError
    from clbench.registry.options import validated

    given = read_assignments(settings)
    for key in given:
        if key != "model" or not isinstance(given[key], dict):
            raise UserError(f"--set {key}: here only options of the network can be set, such as model.width=8.")
    return {"name": model} | validated("model", registry.model.load(model).schema, given.get("model", {}))
