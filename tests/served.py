"""A process that has clbench loaded and forks for each command, so that the command line answers at once.

``clbench`` and ``python`` are for tests that ask for a command as a user would, but not for how a process begins or is
interrupted: what is asked of is everything after the imports. ``client`` is the program that a shell finds where the
snippets of the pages are tried; their runs are made short on the way.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[1]
DOOR = "CLBENCH_TEST_DOOR"
CLIENT = """#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as line:
    line.connect({address!r})
    asked = {{"words": [os.path.basename(sys.argv[0]), *sys.argv[1:]], "cwd": os.getcwd(), "environ": dict(os.environ)}}
    socket.send_fds(line, [json.dumps(asked | {{"short": True}}).encode()], [0, 1, 2])
    sys.exit((line.recv(1) or b"\\x01")[0])
"""


def clbench(*words: str, cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    """What the command line says in a folder; nothing is a terminal, and it is 100 columns wide."""
    return _asked(["clbench", *words], cwd, environ)


def python(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """What a program in Python says: a file, and its arguments."""
    return _asked(["python", *words], cwd, {})


def _asked(words: list[str], cwd: Path | None, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    environ = os.environ | {"NO_COLOR": "1", "COLUMNS": "100"} | environ
    asked = {"words": words, "cwd": str(cwd or Path.cwd()), "environ": environ, "short": False}
    with (
        socket.socket(socket.AF_UNIX) as line,
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryFile() as errors,
        open(os.devnull) as nothing,
    ):
        line.settimeout(300)
        line.connect(door())
        files = [file.fileno() for file in (nothing, output, errors)]
        socket.send_fds(line, [json.dumps(asked).encode()], files)
        code = line.recv(1)
        assert code, f"{' '.join(words)}: died without an answer"
        output.seek(0)
        errors.seek(0)
        said, told = (file.read().decode() for file in (output, errors))
    return subprocess.CompletedProcess(words, code[0], said, told)


@cache
def door() -> str:
    """The address of a server: that which the environment names, or this process's, started when it is first needed."""
    if DOOR in os.environ:
        return os.environ[DOOR]
    folder = tempfile.mkdtemp()  # short: a socket's name has a hundred letters
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    address = f"{folder}/door"
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.served", address], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    atexit.register(server.wait)
    atexit.register(server.terminate)  # before the two above: what was registered last is called first
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    return address


def shortened(words: list[str]) -> list[str]:
    """A command of clbench as it is tried: a seed, two trials, few samples, an epoch or two; 'rm' has been answered."""
    if words[:2] == ["results", "rm"]:
        return [*words, "--yes"]
    if words[:1] in (["run"], ["tune"]) and "--config" not in words:
        least = ["scenario.samples_per_task=48"] if not any("forget-" in word for word in words) else []
        least += ["max_epochs=2"] if any("warm-start-" in word for word in words) else ["epochs=1"]
        given = {word.partition("=")[0] for word in words}
        words += [part for key in least if key.partition("=")[0] not in given for part in ("--set", key)]
    if words[:1] in (["run"], ["tune"]) or words[:2] == ["sweep", "plan.yaml"]:
        words = [*words, "--threads", "1"]  # more would wait for each other where other tests run
    if words[:1] == ["tune"]:
        words = [*words, "--workers", "1"]
    few = {"--seeds": "1", "--trials": "2"}
    return [
        few[before] if before in few and word.isdigit() else word
        for before, word in zip(["", *words], words, strict=False)
    ]


def client(folder: Path) -> None:
    """Put the programs ``clbench`` and ``python`` into a folder."""
    folder.mkdir()
    for name in ("clbench", "python"):
        program = folder / name
        program.write_text(CLIENT.format(python=sys.executable, address=door()))
        program.chmod(0o755)


def serve(address: str) -> None:
    """Answer until ended; the word 'ready' says when."""
    import clbench.cli  # imported here: the client's tests need none of it
    import clbench.engine.run
    import clbench.registry

    for wanted in ("matplotlib.figure", "scipy.stats", "sklearn.linear_model"):
        importlib.import_module(wanted)  # commands do so when they need them
    for kind in clbench.registry.REGISTRIES.values():
        assert kind.listed
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(address)
        door.listen()
        print("ready", flush=True)
        while True:
            line, _ = door.accept()
            with line:
                if os.fork() == 0:
                    answer(line)


def answer(line: socket.socket) -> NoReturn:
    """Be the command that was asked for, and say its exit code."""
    from clbench.cli import main

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    raw, files, *_ = socket.recv_fds(line, 2**20, 3)
    asked = json.loads(raw)
    for place, file in enumerate(files):
        os.dup2(file, place)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["environ"])
    sys.modules["__main__"] = ModuleType("__main__")  # which workers of a sweep would import again
    program, *words = asked["words"]
    code: object = 0
    try:
        if program == "python":
            sys.path.insert(0, str(Path(asked["cwd"], words[0]).parent))
            sys.argv = words
            runpy.run_path(words[0], run_name="__main__")
        else:
            sys.argv = [program, *(shortened(words) if asked["short"] else words)]
            main()
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    line.send(bytes([code if isinstance(code, int) else int(code is not None)]))
    os._exit(0)


if __name__ == "__main__":
    serve(sys.argv[1])
