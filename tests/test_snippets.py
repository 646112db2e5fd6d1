"""Every snippet of the pages runs, one after the other in a folder of the page, or says in a comment why not.

Shell snippets run in bash as they stand, with a ``clbench`` that makes their runs short; blocks that name a file in
their first line, ``# plan.yaml``, are that file; other programs in Python run, with the imports of those before them.
A comment before a snippet, which readers do not see, leaves it out, or the lines that have some words in them:
``<!-- not run: needs a cluster -->``, ``<!-- not run (cifar10): needs real images -->``.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from clbench import store
from tests.helpers import make_result
from tests.pages import FOLDER, PAGES, README
from tests.served import client

BLOCK = re.compile(
    r"(?P<marks>(?:^ *<!-- not run[^\n]*-->\n)*)^(?P<indent> *)```(?P<language>\w*)\n(?P<code>.*?)^(?P=indent)```",
    re.DOTALL | re.MULTILINE,
)
MARK = re.compile(r"<!-- not run(?: \((.*?)\))?: (.*?) -->")
FILE = re.compile(r"# (\w+\.(?:py|yaml))\b")
NEEDLESS = {"", "text"}  # shown, not run: transcripts, which tests of their own compare


@dataclass(frozen=True)
class Snippet:
    """A block of a page: what of it is run, and why the rest is not."""

    language: str
    code: str
    reasons: tuple[str, ...]


def snippets(text: str) -> list[Snippet]:
    """A page's blocks of code, in order."""
    found = []
    for block in BLOCK.finditer(text):
        code, reasons = block["code"], []
        for words, reason in MARK.findall(block["marks"]):
            kept = [line for line in code.splitlines(keepends=True) if words and words not in line]
            assert kept != code.splitlines(keepends=True), f"no line has '{words}'"
            code = "".join(kept)
            reasons.append(reason)
        found.append(Snippet(block["language"], code, tuple(reasons)))
    return found


def runnable(page: Path) -> bool:
    return any(one.code.strip() for one in snippets(page.read_text(encoding="utf-8")) if one.language not in NEEDLESS)


@pytest.fixture(scope="module")
def programs() -> Iterator[Path]:
    """A folder with the programs that snippets call."""
    with tempfile.TemporaryDirectory() as folder:
        client(Path(folder) / "bin")
        yield Path(folder) / "bin"


def sales() -> str:
    """A table of one's own: orders in order of time, of two shops, with labels that depend on the price."""
    random = np.random.default_rng(0)
    rows = ["order,sold,shop,price,amount,returned,bought"]
    for number in range(600):
        price, amount = random.uniform(1, 90), random.integers(1, 9)
        late, much = random.random() < price / 100, random.random() < amount / 9
        day = f"2024-{1 + number // 150:02d}-{1 + number // 6 % 25:02d}"
        shop = ("north", "south")[random.integers(2)]
        rows.append(f"{number},{day},{shop},{price:.2f},{amount},{'yes' if late else 'no'},{'yes' if much else 'no'}")
    return "\n".join(rows) + "\n"


def give(folder: Path, page: Path, blocks: list[Snippet]) -> None:
    """What a reader of the page has: a table, photos, a network with its weights, Results where it is about them."""
    (folder / "sales.csv").write_text(sales())
    for block in blocks:
        if named := FILE.match(block.code):
            (folder / named[1]).write_text(small(block.code, folder))
    if page.name == "your-data.md":
        from PIL import Image
        from safetensors.numpy import save_file

        (network,) = (
            one.code for one in snippets((FOLDER / "how-to" / "network.md").read_text()) if "class Net" in one.code
        )
        (folder / "my_net.py").write_text(network)
        shapes = {"features.1.weight": (32, 64), "features.1.bias": (32,), "fc.weight": (10, 32), "fc.bias": (10,)}
        save_file({name: np.zeros(shape, np.float32) for name, shape in shapes.items()}, folder / "my_net.safetensors")
        for number in range(8):
            file = folder / "photos" / ("cat", "dog")[number % 2] / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (8, 8), 30 * number).save(file)
    if page.name in ("results.md", "leaderboard.md"):
        for place in ("results", "results/study", "mine", "elsewhere/results", "results/baseline"):
            for name in ("naive", "ewc", "l2"):
                for seed in range(2):
                    options = {"lam": 1000.0} if name == "ewc" else None
                    row = [0.8 - seed / 50 + len(name) / 100, 1.0]
                    store.write(make_result(name, seed, [[0.5, 0.5], [1.0, 0.5], row], options=options), folder / place)


def small(code: str, folder: Path) -> str:
    """A snippet for a small machine: the bundled digits, one seed, and places that are elsewhere within the folder."""
    code = re.sub(r"\b(split|permuted)-(mnist|cifar10)\b", r"\1-digits", code)
    code = re.sub(r"(?<=[ \"])/(elsewhere|shared)/", rf"{folder}/\1/", code)
    code = re.sub(
        r"^base: \{scenario: ([\w-]+)", r"base: {scenario: {name: \1, samples_per_task: 48}", code, flags=re.M
    )
    code = re.sub(r"(?<=[ {])epochs: \d+", "epochs: 1", code)
    code = re.sub(r"^seeds: \d+", "seeds: 1", code, flags=re.M)
    named = re.search(r"(results/[\w/-]+)/s0-3f2a91c07d55", code)
    files = sorted((folder / (named[1] if named else "results")).rglob("s0-*.json"))
    return code.replace("3f2a91c07d55", files[0].stem.removeprefix("s0-")) if files else code


@pytest.mark.parametrize("page", [*filter(runnable, [README, *PAGES])], ids=lambda page: page.stem)
def test_what_a_page_shows_can_be_done(page: Path, programs: Path, tmp_path: Path) -> None:
    blocks = snippets(page.read_text(encoding="utf-8"))
    give(tmp_path, page, blocks)
    environ = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "COLUMNS": "100"}
    imports = ""
    for block in blocks:
        if block.language not in ("sh", "python") or not block.code.strip() or FILE.match(block.code):
            continue
        code, program = small(block.code, tmp_path), ["bash", "-eu", "-o", "pipefail", "-c"]
        if block.language == "python":
            (tmp_path / "snippet.py").write_text(imports + code)
            imports += "".join(re.findall(r"^(?:import|from) .*\n", code, re.M))
            code = "python snippet.py"
        done = subprocess.run([*program, code], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"


def test_what_is_not_run_is_known() -> None:
    """Whoever adds a reason adds it here, too."""
    found = Counter(reason for page in [README, *PAGES] for one in snippets(page.read_text()) for reason in one.reasons)
    assert found == {
        "installs what it names": 3,
        "needs CIFAR-10 and CIFAR-100": 1,
        "needs CIFAR-10 and the network": 1,
        "needs Elec2": 2,
        "needs MNIST": 1,
        "needs Slurm": 2,
        "needs a cluster": 1,
        "needs the network": 1,
        "takes hours on MNIST": 1,
        "takes minutes": 1,
        "tests/test_first_session.py runs it": 2,
        "tests/test_pages.py runs it": 2,
    }


def test_a_mark_leaves_out_what_it_names() -> None:
    text = "<!-- not run (b c): slow -->\n<!-- not run (d): big -->\n```sh\na\nb c\nd\n```\n"
    text += "<!-- not run: no -->\n```sh\ne\n```\n"
    assert snippets(text) == [Snippet("sh", "a\n", ("slow", "big")), Snippet("sh", "", ("no",))]
    with pytest.raises(AssertionError, match="no line has 'x'"):
        snippets(text.replace("(d)", "(x)"))
    assert {one.language for page in [README, *PAGES] for one in snippets(page.read_text())} <= {
        "sh",
        "python",
        "yaml",
        "text",
    }
