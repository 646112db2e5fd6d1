"""``python -m docs.catalogue DEST``: write the generated pages below a folder."""

from __future__ import annotations

import sys
from pathlib import Path

from docs.catalogue import generate

if len(sys.argv) != 2:
    sys.exit("Usage: python -m docs.catalogue DEST")
generate(Path(sys.argv[1]))
