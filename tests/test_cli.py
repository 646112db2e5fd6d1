"""The real command line, as a user runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import pytest

from clbench import store
from clbench.cli.stopping import gently
from tests.helpers import make_result
from tests.served import clbench

QUICK = ["--set", "epochs=2", "--set", "scenario.samples_per_task=48"]


def begun(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process that begins with it."""
    return subprocess.run(
        [sys.executable, "-m", "clbench", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"NO_COLOR": "1", "COLUMNS": "100"} | environment,
    )


def fails(completed: subprocess.CompletedProcess[str], *words: str) -> None:
    """One paragraph that has the words, exit code 2, no traceback, nothing on stdout."""
    assert completed.returncode == 2, completed.stderr
    assert "Traceback" not in completed.stderr
    assert completed.stdout == ""
    for word in words:
        assert word in completed.stderr
    assert len(completed.stderr.strip().split("\n\n")) == 1


def test_first_session(tmp_path: Path) -> None:
    """Run, run another, compare: what the README shows."""
    done = begun("run", "--strategy", "ewc-fixed", "--seeds", "2", *QUICK, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "", "people read stderr when stdout is no terminal"
    assert "stage 5/5" in done.stderr
    assert "accuracy" in done.stderr
    files = sorted((tmp_path / "results").rglob("*.json"))
    assert [file.name[:2] for file in files] == ["s0", "s1"]
    result = store.read(files[0])
    assert result.strategy == "ewc-fixed"

    quiet = clbench("run", "--strategy", "naive", "--quiet", *QUICK, cwd=tmp_path)
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")

    table = begun("compare", cwd=tmp_path)
    assert table.returncode == 0
    assert "ewc-fixed" in table.stdout
    assert "naive" in table.stdout
    machine = clbench("compare", "--format", "json", "--metric", "forgetting", cwd=tmp_path)
    assert [entry["strategy"] for entry in json.loads(machine.stdout)["leaderboards"][0]["entries"]]


def test_json_is_all_that_stdout_carries_and_repeats(tmp_path: Path) -> None:
    runs = [clbench("run", "--strategy", "er", "--json", *QUICK, cwd=tmp_path / "..") for _ in range(2)]
    first, second = (json.loads(run.stdout)[0] for run in runs)
    assert first["accuracy"] == second["accuracy"]
    assert first["run_id"] == second["run_id"]
    assert [run.stderr for run in runs] == ["", ""]


def test_yaml_and_set_make_the_same_run(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(
        "strategy: {name: ewc, lam: 3}\nscenario: {name: split-digits, samples_per_task: 48}\nepochs: 2\nseeds: [5]\n"
    )
    written = clbench("run", "--config", "run.yaml", "--json", cwd=tmp_path)
    words = ["--strategy", "ewc", "--set", "strategy.lam=3", "--seeds", "5,6"]
    assigned = clbench("run", *words, *QUICK, "--json", cwd=tmp_path)
    assert json.loads(written.stdout)[0]["run_id"] == json.loads(assigned.stdout)[0]["run_id"]
    assert [result["seed"] for result in json.loads(assigned.stdout)] == [5, 6]


def test_diverging_run_is_exit_1_and_a_status(tmp_path: Path) -> None:
    done = clbench("run", "--strategy", "naive", "--set", "optimizer.lr=1e30", *QUICK, cwd=tmp_path)
    assert done.returncode == 1
    assert "diverged" in done.stderr
    assert "Lower optimizer.lr" in done.stderr
    (file,) = (tmp_path / "results").rglob("*.json")
    assert store.read(file).status == "diverged"
    table = clbench("compare", "--format", "csv", cwd=tmp_path)
    assert "average_accuracy,higher,,,," in table.stdout, "no fake number"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["run", "--strategy", "ewk"], ["Unknown strategy 'ewk'", "Did you mean 'ewc'"]),
        (["run", "--strategy", "naive", "--scenario", "split-mnits"], ["Unknown dataset 'mnits'", "'mnist'"]),
        (["run", "--strategy", "ewc", "--set", "strategy.lamda=3"], ["strategy.lamda", "Did you mean 'lam'"]),
        (["run", "--strategy", "ewc", "--set", "strategy.lam=-3"], ["strategy.lam", "greater than or equal to 0"]),
        (
            ["run", "--strategy", "naive", "--scenario", "split-mnist"],
            ["mnist", "--data-root", "clbench data fetch mnist"],
        ),
        (["run", "--strategy", "naive", "--set", "scenario.tasks=11"], ["scenario.tasks", "at most 10"]),
        (["run"], ["No strategy is named"]),
        (["run", "--config", "none.yaml"], ["none.yaml", "No such file"]),
        (["run", "--strategy", "naive", "--plugin", "none.py"], ["none.py"]),
        (["run", "--strategy", "naive", "--results", "/dev/null"], ["/dev/null", "--results"]),
        (["compare", "nowhere"], ["nowhere", "no such file or folder"]),
        (["compare", "."], ["No Results under"]),
        (["compare", "--metric", "acuracy"], ["Did you mean", "accuracy"]),
        (["check", "--baseline", "nowhere"], ["nowhere", "no such file or folder"]),
        (["check", "--margin", "much"], ["--margin much", "0.01"]),
        (["check", "--margin", "backward_transfer=0.1"], ["backward_transfer", "not gated"]),
        (["check", "--metric", "seconds"], ["--metric seconds"]),
        (["check", "--metric", "memory"], ["--metric memory"]),
        (["compare", "--front", "average_accuracy,sampels"], ["'sampels'", "Did you mean 'samples'"]),
        (["check", "--baseline", "nowhere", "--update"], ["nowhere", "not a folder"]),
        (["report", "nowhere"], ["nowhere", "no such file or folder"]),
        (["describe", "strategy", "nave"], ["Did you mean 'naive'"]),
        (["data", "fetch", "cifar10"], ["cifar10", "Ways out"]),
    ],
)
def test_mistakes_are_one_paragraph_with_the_next_step(words: list[str], expected: list[str], tmp_path: Path) -> None:
    fails(clbench(*words, cwd=tmp_path), *expected)
    assert list(tmp_path.rglob("*.json")) == []


def test_unknown_command_and_option(tmp_path: Path) -> None:
    for words in (["rnu"], ["run", "--strateg", "x"], ["list", "thing"], ["run", "--device", "tpu"]):
        done = clbench(*words, cwd=tmp_path)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr


def test_interrupted_run_writes_nothing(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "clbench", "run", "--strategy", "naive", "--set", "epochs=100", "--checkpoint", "0"]
    with subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        before = list(takewhile(lambda line: "stage 1/5" not in line, process.stderr))
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, before
    assert "nothing of it is kept" in errors
    assert "Traceback" not in errors
    assert output == ""
    assert [path for path in (tmp_path / "results").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    "words", [[], ["--help"], ["run", "--help"], ["compare", "-h"], ["list", "-h"], ["data", "-h"]]
)
def test_help_shows_examples(words: list[str], tmp_path: Path) -> None:
    done = clbench(*words, cwd=tmp_path)
    assert "clbench" in done.stdout + done.stderr
    if words[:1] in (["run"], ["compare"], ["list"]):
        assert "Examples" in done.stdout
    assert done.returncode == (2 if not words else 0)


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["list", "strategies"], ["list", "scenarios"], ["describe", "strategy", "ewc"]]
)
def test_telling_commands_import_no_torch(words: list[str], tmp_path: Path) -> None:
    code = (
        "import sys\nsys.argv = ['clbench', *sys.argv[1:]]\nfrom clbench.cli import app\n"
        "try:\n    app()\nexcept SystemExit as end:\n    assert not end.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, *words], cwd=tmp_path, check=True, capture_output=True, timeout=60)


def test_compare_imports_no_torch_and_leaves_out_what_is_broken(tmp_path: Path) -> None:
    for seed in range(3):
        store.write(make_result(seed=seed), tmp_path / "results")
    (tmp_path / "results" / "broken.json").write_text("{")
    code = (
        "import sys\nsys.argv = ['clbench', 'compare']\nfrom clbench.cli import app\n"
        "try:\n    app()\nexcept SystemExit as end:\n    assert not end.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "broken.json is not a whole JSON file" in done.stderr
    assert "naive" in done.stdout


def test_list_json_is_json(tmp_path: Path) -> None:
    for kind in ("strategies", "scenarios", "models", "metrics", "datasets"):
        rows = json.loads(clbench("list", kind, "--json", cwd=tmp_path).stdout)
        assert len(rows) > 3


def test_data_status_and_verify(tmp_path: Path) -> None:
    place = {"CLBENCH_CACHE": str(tmp_path / "cache"), "CLBENCH_DATA": str(tmp_path)}
    assert "decoded" in clbench("data", "verify", "digits", cwd=tmp_path, **place).stderr
    (images,) = (tmp_path / "cache").rglob("train_samples.npy")
    images.write_bytes(images.read_bytes()[:-1] + b"\x01")
    damaged = clbench("data", "verify", cwd=tmp_path, **place)
    assert damaged.returncode == 1
    assert "damaged and has been rebuilt" in damaged.stderr
    status = clbench("data", "status", cwd=tmp_path, **place)
    assert "c2fe6236f904" in status.stdout


def test_torch_and_torchvision_that_do_not_fit(tmp_path: Path) -> None:
    """A CPU-only torch beside torchvision from PyPI: the message says what to do."""
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')\n")
    fails(
        begun("run", "--strategy", "naive", cwd=tmp_path, PYTHONPATH=str(tmp_path)),
        "torch and torchvision do not fit together",
        "pip install --force-reinstall",
    )


@pytest.mark.real_data
def test_main_job_on_real_images(real_data: Path, tmp_path: Path) -> None:
    words = ["run", "--strategy", "ewc-fixed", "--json", "--threads", "1", "--data-root", str(real_data)]
    mnist = clbench(*words, "--scenario", "split-mnist", "--set", "scenario.samples_per_task=1000", cwd=tmp_path)
    assert mnist.returncode == 0, mnist.stderr
    (result,) = json.loads(mnist.stdout)
    assert result["data"]["official"] is True
    assert result["metrics"]["average_accuracy"]["value"] > 0.8
    small = ["--set", "scenario.samples_per_task=64", "--model", "lenet", "--set", "scenario.tasks=2"]
    cifar = clbench(*words, "--scenario", "split-cifar10", *small, cwd=tmp_path)
    assert cifar.returncode == 0, cifar.stderr
    assert json.loads(cifar.stdout)[0]["data"]["official"] is False


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_on_purpose_has_the_shells_exit_code(number: signal.Signals, code: int) -> None:
    with gently() as stopping:
        signal.raise_signal(number)
        assert stopping()
    assert stopping.error("Stopped.").exit_code == code
