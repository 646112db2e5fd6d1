"""clbench from a program: the verbs of the command line as functions. Imports no torch until something is run."""

from clbench.api.boards import Board, compare
from clbench.api.found import load
from clbench.api.gates import Checked, check
from clbench.api.results import Results
from clbench.api.runs import run
from clbench.api.streams import Stream, stream
from clbench.api.sweeps import sweep
from clbench.api.tuning import Tuned, tune

__all__ = [
    "Board",
    "Checked",
    "Results",
    "Stream",
    "Tuned",
    "check",
    "compare",
    "load",
    "run",
    "stream",
    "sweep",
    "tune",
]
