"""Words that mean something else here: one paragraph that says what was meant, exit code 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from clbench import registry, store
from clbench.config.keys import keys, optimizer_options
from clbench.optimizers import OPTIMIZERS
from clbench.registry.elsewhere import ABSENT, SAME
from tests.helpers import make_result
from tests.served import clbench

EWC = ["run", "--strategy", "ewc"]
WORDS = [
    ([*EWC, "--epochs", "5"], ["--epochs is no option of 'run'; did you mean --set epochs=5?"]),
    ([*EWC, "--lr", ".1"], ["did you mean --set optimizer.lr=.1?"]),
    ([*EWC, "--lr=-1"], ["did you mean --set optimizer.lr=-1?"]),
    ([*EWC, "--batch-size", "64"], ["did you mean --set batch_size=64?"]),
    ([*EWC, "--learning-rate", "1"], ["did you mean --set optimizer.lr=1?"]),
    ([*EWC, "--tasks"], ["did you mean --set scenario.tasks=…?"]),
    (["run", "--lam", "5"], ["did you mean --set strategy.lam=5?"]),
    (["run", "--strategy=ewc+l2-init", "--lam", "5"], ["strategy.ewc.lam=5 or --set strategy.l2-init.lam=5?"]),
    (["tune", "--strategy", "ewc", "--epochs", "5"], ["of 'tune'; did you mean --set epochs=5?"]),
    (
        ["sweep", "plan.yaml", "--lr", "5"],
        ["'sweep run'; did you mean 'grid: {optimizer.lr: [5]}' in the plan"],
    ),
    ([*EWC, "--set", "lam=5"], ["Did you mean 'strategy.lam', as in --set strategy.lam=5?"]),
    ([*EWC, "--set", "lr=0.1", "--pretrain", "cifar10"], ["Did you mean 'optimizer.lr' or 'pretrain.lr'"]),
    ([*EWC, "--set", "optimiser.lr=5"], ["Unknown key 'optimiser.lr'. Did you mean 'optimizer.lr'"]),
    (["run", "--strategy", "ewc+l2-init", "--set", "lam=5"], ["'strategy.ewc.lam' or 'strategy.l2-init.lam'"]),
    ([*EWC, "--set", "nothing=5"], ["Unknown key 'nothing'. Keys are strategy, scenario"]),
    (["run", "--strategy", "EWC"], ["Did you mean 'ewc'?"]),
    (["run", "--strategy", "ewc_online"], ["Did you mean 'ewc-online'?"]),
    (["run", "--strategy", "ewc+Replay"], ["It is called 'er' here"]),
    (["run", "--strategy", "iCaRL"], ["Did you mean 'icarl'?"]),
    (["describe", "strategy", "agem"], ["It is called 'a-gem' here"]),
    ([*EWC, "--scenario", "split-digit"], ["Did you mean 'digits', as in 'split-digits'?"]),
    ([*EWC, "--scenario", "split_mnist"], ["Did you mean 'split-mnist'?"]),
    ([*EWC, "--scenario", "splitmnist"], ["Did you mean 'split-mnist'?"]),
    ([*EWC, "--scenario", "mnist-split"], ["Did you mean 'split-mnist'?"]),
    (["compare", "--where", "lr=0.05"], ["--where lr: no run has this key", "Did you mean 'optimizer.lr'?"]),
    (["compare", "--where", "strategy.lam=7"], ["no run has this value. Values of strategy.lam are 1.0, 10.0, –."]),
    (["compare", "--by", "strategy.lamda"], ["--by strategy.lamda: no run has this key", "'strategy.lam'"]),
    (["compare", "--picture", "plane"], ["--picture plane", "--plot plane.pdf"]),
    (["check", "--baseline", "results", "results", "--where", "lamda=1"], ["--where lamda: no run has this key"]),
    (["report", "--where", "lam=1"], ["Did you mean 'strategy.lam'?"]),
    (["results", "list", "--where", "seed=1"], ["--where seed: no run has this key"]),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("place")
    for seed in range(2):
        store.write(make_result("naive", seed), folder / "results")
        for lam in (1.0, 10.0):
            store.write(make_result("ewc", seed, options={"lam": lam}), folder / "results")
    return folder


@pytest.mark.parametrize(("words", "said"), WORDS, ids=[" ".join(words) for words, _ in WORDS])
def test_the_error_says_what_was_meant(words: list[str], said: list[str], place: Path) -> None:
    done = clbench(*words, cwd=place)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("clbench: ")
    assert len(done.stderr.strip().splitlines()) == 1, "one paragraph"
    for sentence in said:
        assert sentence in done.stderr


@pytest.mark.parametrize(
    ("words", "column"),
    [
        (["--sort", "accuracy"], "average_accuracy"),
        (["--metric", "learning"], "learning_accuracy"),
        (["--metric", "first-last"], "forgetting_first_last"),
        (["--metric", "Backward transfer"], "backward_transfer"),
    ],
)
def test_a_metric_is_what_the_tables_heading_calls_it(words: list[str], column: str, place: Path) -> None:
    done = clbench("compare", *words, "--format", "csv", cwd=place)
    assert f",{column}," in done.stdout.splitlines()[1]
    margin = ["--margin", f"{words[1]}=0.02", *(["--metric", words[1]] if words[0] == "--metric" else [])]
    checked = clbench("check", "--baseline", "results", "results", *margin, "--json", cwd=place)
    assert checked.returncode == 0, checked.stderr
    assert f'"{column}": 0.02' in checked.stdout


def test_a_number_is_the_same_however_it_is_written(place: Path) -> None:
    done = clbench("results", "list", "--where", "strategy.lam=1", "--json", cwd=place)
    assert done.stdout.count('"strategy.lam": 1.0') == 2


def test_what_is_named_elsewhere_is_not_named_here_and_what_it_points_to_is() -> None:
    here = registry.strategy.listed
    assert not (SAME.keys() | ABSENT.keys()) & here.keys()
    assert not SAME.keys() & ABSENT.keys()
    assert set(SAME.values()) <= here.keys()
    for method in ABSENT.values():
        assert {part for name in method.nearest for part in store.parts(name)} <= here.keys()


def test_keys_read_from_source_are_the_optimisers_own() -> None:
    read = {name: [option.name for option in options] for name, options in optimizer_options().items()}
    assert read == {name: list(one.schema.model_fields) for name, one in OPTIMIZERS.items()}
    of_ewc = keys({"strategy": "ewc", "scenario": "split-digits", "model": "mlp", "optimizer": "sgd"})
    assert {"epochs", "seeds", "strategy.lam", "scenario.tasks", "scenario.skip", "model.widths"} <= {*of_ewc}
    assert not {"strategy.memory", "optimizer.rho", "scenario.degrees", "model.depth"} & {*of_ewc}
