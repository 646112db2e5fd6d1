"""Do networks that were regularised in training forget less? The study in results/studies/generic-features.

    python -m tests.bench.generic_features [STREAM…] [--seeds 5] [--jobs 2]

Every training-time regulariser alone (on top of naive), on top of EWC and on top of EWC by explicit interpolation, on
three streams. Runs whose Result is there are left alone, so a study that was stopped goes on where it was. The learning
rate of each stream and EWC's λ were chosen on held-out images with other seeds (folder 'tuned'); the regularisers'
strengths are their defaults (results/baseline/strengths.md), except racecar's λ of 1, where its features change, and an
adversarial radius that suits larger images than digits. Needs the real images (CLBENCH_TEST_DATA or ../shared/data).
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy.stats import spearmanr

from clbench import store
from clbench.analysis.significance import ALPHA, compare, holm
from clbench.analysis.statistics import Estimate, estimate
from clbench.config import RunConfig, resolve
from clbench.data.sources import DataPlace
from clbench.reproduce.running import Job, missing, run_all
from clbench.store import Result
from clbench.yaml_files import read_yaml
from tests.real_data import prepared

FOLDER = Path(__file__).resolve().parents[2] / "results" / "studies" / "generic-features"
RESNET = "split-cifar10, ResNet"  # for what needs one
STREAMS = ("split-mnist", "permuted-mnist", "split-cifar10", RESNET)
BASES = ("naive", "ewc", "ewc-fixed")
Options = dict[str, Any]
METHODS: dict[str, Options] = {
    "racecar": {"lam": 1.0},
    "orthogonal": {"lam": 1e-4},
    "label-noise": {},
    "jumpstart": {"lam": 0.1},
    "frozen-layers": {},
    "random-label-pretrain": {"epochs": 5},
    "sparse-group-lasso": {"lam": 1e-5},
    "friendly-training": {},
    "adversarial-training": {"eps": 0.5},
    "co-finetuning": {},
    "physics-aware": {},
}
UPSTREAM = {"split-cifar10": {"upstream": "cifar10", "classes": 4}}  # the classes that this stream leaves out
DIGITS = {"upstream": "digits"}
# With naive alone: other strengths, and what tells a method's effect from that of something else that it brings.
CONTROLS: dict[str, tuple[str, Options]] = {
    "racecar, λ = 0.01": ("racecar", {"lam": 0.01}),
    "orthogonal, λ = 0.01": ("orthogonal", {"lam": 0.01}),
    "sparse-group-lasso, λ = 1e-4": ("sparse-group-lasso", {"lam": 1e-4}),
    "friendly-training, β = 1": ("friendly-training", {"beta": 1.0}),
    "label-noise, σ = 0": ("label-noise", {"sigma": 0.0}),
    "physics-aware, in silico": ("physics-aware", {"forward": "model"}),
}
KEPT = ("training_loss", "probe", "features")  # of the diagnostics; the whole would be fifty times as large
Arm = tuple[str, str]  # base, method
MANY = 5  # methods over which a correlation says something


@dataclass(frozen=True)
class Column:
    """A quantity of a run, in per cent."""

    key: str
    title: str

    def of(self, result: Result) -> float:
        """Its value; the probe's is the mean over the stages after the first."""
        if self.key == "probe":
            return 100 * statistics.fmean(result.diagnostics["probe"][1:])
        value = result.metrics[self.key].value
        assert value is not None
        return 100 * value


COLUMNS = (
    Column("average_accuracy", "accuracy"),
    Column("forgetting", "forgetting"),
    Column("learning_accuracy", "learning"),
    Column("probe", "probe"),
)


def strategy_of(stream: str, base: str, method: str, recipe: Options) -> Options:
    """The strategy section of an arm."""
    own = {} if base == "naive" else dict(recipe["strategy"])
    if base == "ewc-fixed":
        own = {key: value for key, value in own.items() if key == "include_head"}
    own.pop("name", None)
    if base != "naive":
        own = {"include_head": False} | own  # heads of their own; where one is shared the recipe says so
    if not method:
        return {"name": base} | own
    name, options = CONTROLS.get(method, (method, METHODS.get(method, {})))
    if name == "co-finetuning":
        options = UPSTREAM.get(stream, DIGITS)
    if base == "naive":
        return {"name": name} | options
    return {"name": f"{name}+{base}", name: options, base: own}


def arms(stream: str) -> dict[Arm, Options]:
    """Config of every arm: (base, method), where the base alone has the method ''."""
    data = stream.partition(",")[0]
    recipe = read_yaml(FOLDER / "tuned" / data / "ewc.yaml")
    setting = {key: value for key, value in recipe.items() if key not in ("strategy", "tuned")}
    if data.startswith("split"):  # settings were chosen on the first classes, and the stream leaves those out
        setting["scenario"] = setting["scenario"] | {"class_order": "fixed"}
    if stream == RESNET:
        setting["model"] = {"name": "slim-resnet18", "width": 8}
        setting["scenario"] = setting["scenario"] | {"samples_per_task": 1000}
        setting["epochs"] = 2
    found = {}
    for base in BASES:
        others = ["dia"] if stream == RESNET else [*METHODS, *(CONTROLS if base == "naive" else ())]
        for method in ("", *others):
            own = {"strategy": strategy_of(data, base, "" if method == "dia" else method, recipe)}
            if method == "dia":
                own["model"] = setting["model"] | {"attention": "dia"}
            found[base, method] = setting | own
    return found


def configs(stream: str, seeds: int) -> dict[tuple[Arm, int], RunConfig]:
    """Every run of a stream, seed by seed, so that a stopped study has whole seeds."""
    wanted = arms(stream)
    return {(arm, seed): resolve(wanted[arm], {"seeds": [seed]})[0] for seed in range(seeds) for arm in wanted}


def path_of(config: RunConfig) -> Path:
    """Where a run's Result lies."""
    return FOLDER / config.result_name


@dataclass(frozen=True)
class Row:
    """A method on a base: mean change of each column with its 95 % interval, in pairs of seeds, and whether it is more
    than luck (paired t-test, p ≤ 0.05 after Holm's correction over the base's methods).
    """

    base: str
    method: str
    changes: list[Estimate]
    sure: list[bool]


Results = Mapping[tuple[Arm, int], Result]


def rows_of(results: Results, base: str) -> tuple[list[Estimate], list[Row]]:
    """The base's own values, and a row for each method none of whose runs diverged."""
    seeds = sorted({seed for _, seed in results})
    methods = list(dict.fromkeys(method for (found, method), _ in results if found == base))
    whole = [m for m in methods if all(results[(base, m), seed].status == "ok" for seed in seeds)]
    values = {m: [{s: column.of(results[(base, m), s]) for s in seeds} for column in COLUMNS] for m in whole}
    own = values.pop("")
    adjusted = [
        dict(zip(values, holm([compare(found[i], own[i], "t").p or 0.0 for found in values.values()]), strict=True))
        for i in range(len(COLUMNS))
    ]
    rows = []
    for method, found in values.items():
        changes = [estimate([mine[s] - theirs[s] for s in seeds]) for mine, theirs in zip(found, own, strict=True)]
        rows.append(Row(base, method, changes, [family[method] <= ALPHA for family in adjusted]))
    return [estimate(list(found.values())) for found in own], rows


def table(stream: str, results: Results) -> str:
    """A block for each base: its own values, then what every method changes."""
    header = [stream, *(column.title for column in COLUMNS)]
    lines = ["| " + " | ".join(header) + " |", "|---|" + "---:|" * (len(header) - 1)]
    for base in BASES:
        own, rows = rows_of(results, base)
        lines.append(_line(f"**{base}**", [f"{e.mean:.1f} ± {e.half_width or 0:.1f}" for e in own]))
        for row in rows:
            texts = [f"{change.mean:+.1f} ± {change.half_width or 0:.1f}" for change in row.changes]
            cells = [f"**{text}**" if sure else text for text, sure in zip(texts, row.sure, strict=True)]
            lines.append(_line(f"+ {row.method}", cells))
        missed = {method for (found, method), _ in results if found == base} - {"", *(row.method for row in rows)}
        lines += [f"| + {method} | diverged |" + " |" * (len(COLUMNS) - 1) for method in sorted(missed)]
    return "\n".join(lines) + "\n"


def _line(name: str, cells: list[str]) -> str:
    return f"| {name} | " + " | ".join(cells) + " |"


def correlation(results: Results) -> str:
    """Over methods: does what helps a probe also help against forgetting? Spearman's ρ of the changes, base by base."""
    found = []
    for base in BASES:
        rows = [row for row in rows_of(results, base)[1] if row.method not in CONTROLS]
        by_column = {c.key: [row.changes[i].mean for row in rows] for i, c in enumerate(COLUMNS)}
        if len(rows) < MANY:
            continue
        rho, p = spearmanr(by_column["probe"], by_column["forgetting"])
        found.append(f"{base} {rho:+.2f} (p = {p:.2f}, {len(rows)} methods)")
    return f"Rank correlation of the changes of probe and of forgetting: {', '.join(found)}.\n" if found else ""


def complete(stream: str, seeds: int) -> Results:
    """The Results of every seed that all arms have."""
    wanted = configs(stream, seeds)
    lacking = {seed for (_, seed), config in wanted.items() if not store.is_there(path_of(config))}
    return {key: store.read(path_of(config)) for key, config in wanted.items() if key[1] not in lacking}


def tell(streams: Sequence[str], seeds: int) -> None:
    """Write tables.md."""
    parts = [
        "Changes against the base in points, mean and 95 % interval over seeds in pairs; bold: p ≤ 0.05 by a paired "
        "t-test after Holm's correction over the methods of a base. Made by `python -m tests.bench.generic_features`.\n"
    ]
    for stream in streams:
        results = complete(stream, seeds)
        count = len({seed for _, seed in results})
        if count > 1:
            parts += [f"## {stream} ({count} seeds)\n", table(stream, results), correlation(results)]
    store.write_text(FOLDER / "tables.md", "\n".join(parts))


def main() -> None:
    """Run what is missing, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("streams", nargs="*", metavar="STREAM", help=", ".join(STREAMS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    root = prepared()
    if root is None:
        sys.exit("The study needs the real images: set CLBENCH_TEST_DATA or provide ../shared/data.")
    streams = options.streams or STREAMS
    wanted = [
        Job(stream, " + ".join(filter(None, arm)), config, FOLDER, diagnostics=True)
        for stream in streams
        for (arm, _), config in configs(stream, options.seeds).items()
    ]
    left = missing(wanted)
    print(f"{len(wanted)} runs, {len(wanted) - len(left)} of them done before", flush=True)
    for number, (job, result) in enumerate(run_all(left, DataPlace.default(root, offline=True), options.jobs), start=1):
        kept = {key: result.diagnostics[key] for key in KEPT}
        store.write(result.model_copy(update={"diagnostics": kept}), job.folder)
        value = result.metrics.get("average_accuracy")
        words = result.status if value is None or value.value is None else f"{100 * value.value:.1f} %"
        print(
            f"{number}/{len(left)} {job.entry}, {job.arm}, seed {job.config.seed}: {words}, {result.seconds:.0f} s",
            flush=True,
        )
    store.pack(FOLDER)
    tell(STREAMS, options.seeds)


if __name__ == "__main__":
    main()
