"""Stores behind s3://, against a real S3 server: moto's, on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from clbench import store
from clbench.cli import app
from clbench.errors import UnwritableError, UserError
from clbench.store.folders import RemoteFolder, open_folder
from clbench.sweeps.ledger import Ledger, known_plans
from tests.helpers import make_result

moto = pytest.importorskip("moto.server", reason="needs an S3 server: pip install 'moto[server]' s3fs")
s3fs = pytest.importorskip("s3fs", reason="needs a driver for s3://: pip install s3fs")
boto3 = pytest.importorskip("boto3", reason="needs a driver for s3://: pip install s3fs")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
BASE = {"scenario": {"name": "split-digits", "tasks": 2}, "epochs": 1}
SHORT = ["--set", "epochs=1", "--set", "scenario.tasks=2", "--offline"]


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    """A client of a server with one bucket, which keeps every version of a file, so that writes can be counted."""
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        keys = {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
        for name, value in {**keys, "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_MAX_ATTEMPTS": "1"}.items():
            patch.setenv(name, value)
        client = boto3.client("s3")
        client.create_bucket(Bucket="bucket")
        client.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})
        yield client
        s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


@pytest.fixture(autouse=True)
def _here(s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test in a folder of its own."""
    monkeypatch.chdir(tmp_path)


def writes(s3: Any, under: str) -> dict[str, int]:
    """How often each file that is there was written."""
    found = s3.list_object_versions(Bucket="bucket", Prefix=under)
    there = {one["Key"] for one in found.get("Versions", ()) if one["IsLatest"]}
    keys = [one["Key"] for one in found.get("Versions", ())]
    return {key.removeprefix(under): keys.count(key) for key in there}


def said(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, done.output + str(done.exception)
    return done.output


def refused(*words: str) -> str:
    """The one paragraph of a command that ends with exit code 2."""
    done = CliRunner().invoke(app, list(words))
    assert isinstance(done.exception, UserError), done.output + str(done.exception)
    assert done.exception.exit_code == 2
    assert "\n" not in str(done.exception)
    return str(done.exception)


def test_a_run_is_written_once_and_resumed(s3: Any) -> None:
    words = ["run", "--strategy", "naive", *SHORT, "--save-model", "--results", "s3://bucket/run"]
    assert "wrote s3://bucket/run/split-digits/naive/s0-" in said(*words)
    there = writes(s3, "run/")
    (name,) = (key for key in there if key.endswith(".json"))
    assert there == {name: 1, store.weights_name(name): 1}, "and no checkpoint or half upload is left"
    said(*words, "--resume")
    assert writes(s3, "run/") == there
    folder = open_folder("s3://bucket/run")
    assert store.parsed(folder.read(name), name).status == "ok"


def test_two_sweeps_at_once(monkeypatch: pytest.MonkeyPatch, s3: Any) -> None:
    """One process does every run once, and the other is told of it."""
    monkeypatch.setenv("CLBENCH_CACHE", str(Path("cache").absolute()))
    monkeypatch.setattr("clbench.sweeps.local.start_early", lambda: None)  # the other one never comes to need workers
    Path("plan.yaml").write_text(yaml.safe_dump({"base": BASE, "grid": {"strategy": ["naive", "ewc"]}, "seeds": 2}))
    url = "s3://bucket/deep/study"
    words = ["sweep", "plan.yaml", "--workers", "1", "--offline", "--results", url]
    with subprocess.Popen([sys.executable, "-m", "clbench", *words], stderr=subprocess.PIPE, text=True) as first:
        while not any(lock.read_text() for lock in Path("cache/locks").glob("*")):
            assert first.poll() is None
            time.sleep(0.05)
        assert f"A sweep is writing to {url} already (plan.yaml, process {first.pid}" in refused(*words)
        told = first.communicate(timeout=240)[1]
    assert first.returncode == 0, told
    assert f"4 of 4 runs are in {url}; see them with: clbench results import {url} --results study" in told
    there = writes(s3, "deep/study/")
    results = {name: count for name, count in there.items() if not name.startswith(".sweeps")}
    assert len(results) == 4
    assert set(results.values()) == {1}, "each run was done once"
    folder = open_folder(url)
    (plan,) = known_plans(folder)
    ledger = Ledger(folder, plan)
    assert set(ledger.runs().values()) == set(results) == ledger.present()
    progress = ledger.progress()
    assert progress is not None
    assert progress.closed
    assert (progress.ended, ledger.failures()) == (4, {})
    assert "plan.yaml  done      4        0       0     0" in said("sweep", "status", "--results", url)
    assert f"{url} is not on this machine. Copy its Results first" in refused("compare", url)
    assert "4 new" in said("results", "import", url, "--results", "copy")
    (board,) = json.loads(said("compare", "copy", "--format", "json"))["leaderboards"]
    assert [entry["seeds"] for entry in board["entries"]] == [[0, 1], [0, 1]]


def test_packs_and_archives_come_and_go(s3: Any) -> None:
    made = [make_result(name, seed) for name in ("naive", "ewc") for seed in (0, 1)]
    for one in made:
        store.write(one, Path("results"))
    assert "4 packed" in said("results", "pack", "results")
    assert "4 new" in said("results", "export", "s3://bucket/packed/all")
    said("results", "export", "s3://bucket/packed/all.zip")
    open_folder("s3://bucket/packed/lines").write(store.PACK, Path("results", store.PACK).read_bytes())
    for number, source in enumerate(("all", "all.zip", "lines")):
        assert "4 new" in said("results", "import", f"s3://bucket/packed/{source}", "--results", str(number))
        copied = {file.relative_to(str(number)).as_posix() for file in Path(str(number)).rglob("*.json")}
        assert copied == {store.name_of(one) for one in made}
    assert "is not on this machine" in refused("results", "pack", "s3://bucket/packed/all")


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--strategy", "naive", *SHORT],
        ["sweep", "plan.yaml", "--plan-only"],
        ["sweep", "status"],
        ["results", "import"],
    ],
)
def test_a_bucket_that_is_not_there(words: list[str], s3: Any) -> None:
    """It is not made, either."""
    Path("plan.yaml").write_text(yaml.safe_dump({"base": BASE | {"strategy": "naive"}}))
    url = "s3://typo/x"
    found = refused(*words, *([url] if words[-1] == "import" else ["--results", url]))
    assert found.count(url) == 1
    assert "The specified bucket does not exist" in found
    assert [one["Name"] for one in s3.list_buckets()["Buckets"]] == ["bucket"]


def test_a_store_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is opened, and while it is in use, with an error of the driver's own kind."""
    folder = open_folder("s3://bucket/away")
    assert folder.names() == []

    def dead(*_: Any, **__: Any) -> None:
        raise RuntimeError("the line is dead")

    assert isinstance(folder, RemoteFolder)
    for name in ("find", "pipe_file", "exists", "cat_file"):
        monkeypatch.setattr(folder.system, name, dead)
    for tried in (folder.names, lambda: folder.exists("x"), lambda: folder.read("x"), lambda: folder.write("x", b"")):
        with pytest.raises(UserError, match=r"s3://bucket/away cannot be reached \(RuntimeError: the line is dead\)"):
            tried()
        with pytest.raises(OSError, match="the line is dead"):  # so that a run goes on without checkpoints
            tried()
    with pytest.raises(UnwritableError, match=r"^s3://bucket/away cannot be reached"):
        store.write_to(make_result(), folder)
    monkeypatch.undo()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    s3fs.S3FileSystem.clear_instance_cache()
    assert "s3://bucket/away cannot be reached (EndpointConnectionError" in refused("results", "import", str(folder))
    s3fs.S3FileSystem.clear_instance_cache()
