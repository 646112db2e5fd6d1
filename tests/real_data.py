"""Where tests and benchmarks find real images: CLBENCH_TEST_DATA, or ../shared/data laid out in a scratch folder."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@cache
def prepared() -> Path | None:
    """Return a data root with real MNIST and CIFAR-10 images, or None if there are none to lay out."""
    given = os.environ.get("CLBENCH_TEST_DATA")
    if given:
        return Path(given)
    script = SHARED / "prepare.py"
    if not script.is_file():
        return None
    root = Path(tempfile.gettempdir()) / f"clbench-test-data-{os.getuid()}"
    subprocess.run([sys.executable, str(script), str(root)], check=True, capture_output=True)
    return root
