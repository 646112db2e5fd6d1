"""Imports run one way; nothing on the telling side imports torch; nobody knows what they must not know."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from clbench import registry

ROOT = Path(__file__).resolve().parents[1]
# What stands on the same floor knows nothing of one another; a room imports from the floors below it alone.
FLOORS = [
    {"", "errors", "lock", "progress", "avalanche", "metrics"},
    {"roles", "yaml_files"},
    {"store"},
    {"registry", "analysis"},
    {"data", "models", "optimizers"},
    {"config", "strategy"},
    {"diagnostics", "checkpoints", "trackers"},
    {"engine"},
    {"sweeps", "reproduce"},
    {"render"},
    {"api"},
    {"cli"},
    {"__main__"},
]
# Rooms that may know less than what lies below them.
NARROW = {
    "clbench.analysis": {"analysis", "store", "metrics", "roles", "errors", ""},
    "clbench.diagnostics": {"diagnostics", "data", "strategy", "avalanche", "models"},
    "clbench.models": {"models", "registry", "avalanche", "errors"},
    "clbench.data": {"data", "registry", "errors", "avalanche", "lock", "yaml_files"},
    "strategies": {"strategy", "registry", "data", "errors", "models"},
    "scenarios": {"registry", "data", "errors"},
}
TORCH_FREE = [
    "clbench.analysis.check",
    "clbench.analysis.diagnosis",
    "clbench.analysis.standing",
    "clbench.data.feature_model",
    "clbench.render.simulation",
    "clbench.analysis.ranking",
    "clbench.render.report",
    "clbench.render.plots",
    "clbench.render.checks",
    "clbench.config.schema",
    "clbench.render.tables",
    "clbench.render.catalogue",
    "clbench.store",
    "clbench.reproduce.judge",
    "clbench.render.reproduction",
    "clbench.sweeps.space",
    "clbench.sweeps.ledger",
    "clbench.sweeps.local",
    "clbench.store.transfer",
    "clbench.render.results",
    "clbench.render.sweep",
    "clbench.sweeps.status",
]
TORCH_FREE += [
    "clbench.api",
    "clbench.metrics",
    "clbench.cli",
    "clbench.config",
    "clbench.registry",
    "clbench.registry.foreign",
    "clbench.data.sources",
]


def imported(path: Path) -> set[str]:
    """First names below ``clbench`` that a file imports, wherever in it; those for type checking alone are left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body = [ast.Pass()]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            parts = node.module.split(".")
            if parts[0] == "clbench":
                found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {(alias.name.split(".") + [""])[1] for alias in node.names if alias.name.startswith("clbench")}
    return {"" if name.startswith("__") else name for name in found}


def room_of(path: Path) -> str:
    """The first name below ``clbench`` of a file's module."""
    first = path.relative_to(ROOT / "clbench").parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def test_nothing_is_imported_upwards_or_in_a_circle() -> None:
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    for path in (ROOT / "clbench").rglob("*.py"):
        room = room_of(path)
        for other in imported(path) - {room}:
            lazily = room == "" and other in {"api", "errors"}  # the verbs of 'import clbench as cl'
            assert lazily or floor[other] < floor[room], f"{path.relative_to(ROOT)} imports {other}"


def test_every_room_has_a_floor() -> None:
    rooms = {room_of(path) for path in (ROOT / "clbench").rglob("*.py")}
    assert rooms == set().union(*FLOORS)


@pytest.mark.parametrize("package", NARROW)
def test_some_know_less(package: str) -> None:
    for path in (ROOT / package.replace(".", "/")).rglob("*.py"):
        assert imported(path) <= NARROW[package], f"{path.name} reaches over the wall"


def test_the_engine_knows_no_strategy_or_scenario_by_name() -> None:
    names = {*registry.strategy.listed, *registry.scenario.listed}
    for path in (ROOT / "clbench" / "engine").glob("*.py"):
        texts = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
        assert not texts & names, f"{path.name} names one"


@pytest.mark.parametrize("module", TORCH_FREE)
def test_telling_imports_no_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_avalanches_optional_world_is_not_imported() -> None:
    code = (
        "import sys, clbench.engine.run\n"
        "bad = {'wandb', 'tensorboard', 'torchmetrics', 'matplotlib', 'gdown'} & set(sys.modules)\n"
        "assert not bad, bad\n"
        "from torch.utils.tensorboard import SummaryWriter\n"  # asked for: the real one
        "assert SummaryWriter.__module__.startswith('torch.utils.tensorboard')\n"
        "from avalanche.logging.tensorboard_logger import SummaryWriter as Deferred\n"
        "import tempfile\n"
        "writer = Deferred(tempfile.mkdtemp())\n"
        "assert isinstance(writer, SummaryWriter)\n"
        "writer.close()\n"
        "from avalanche.logging.tensorboard_logger import Figure\n"
        "assert not isinstance(3, Figure) and 'matplotlib' not in sys.modules\n"
        "from avalanche.evaluation.metric_utils import default_cm_image_creator\n"
        "import torch, matplotlib\n"
        "matplotlib.use('agg')\n"
        "assert isinstance(default_cm_image_creator(torch.eye(2), [0, 1]), Figure)\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=120)


def test_a_run_goes_without_the_compiler_and_whoever_wants_it_gets_it(tmp_path: Path) -> None:
    code = (
        "import sys, clbench, torch\n"
        f"clbench.run('ewc', 'split-digits', epochs=1, results={str(tmp_path)!r})\n"
        "from clbench.avalanche.compiler import ANSWERS\n"
        "loaded = {name for name in sys.modules if name.startswith(('torch._dynamo', 'torch._inductor'))}\n"
        "assert loaded == {*ANSWERS}, loaded\n"
        "torch.use_deterministic_algorithms(True)\n"
        "compiled = torch.compile(lambda x: x.sin() + 1, backend='eager')\n"
        "assert torch.equal(compiled(torch.ones(3)), torch.ones(3).sin() + 1)\n"
        "assert 'torch._dynamo.symbolic_convert' in sys.modules\n"
        "import torch._inductor.config as config\n"
        "assert config.deterministic and config.__file__ and torch._dynamo.__file__\n"
        "from torchvision.ops.roi_align import is_compile_supported\n"
        "assert is_compile_supported('cpu') is torch._dynamo.utils.is_compile_supported('cpu')\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=120)


def test_no_unit_is_long() -> None:
    for folder in ("strategies", "scenarios"):
        for path in (ROOT / folder).glob("*.py"):
            assert len(path.read_text().splitlines()) <= 200, f"{path.name} is too long to be read at once"
