"""clbench from a program: the verbs of the command line as functions. Imports no torch until something is run."""

from clbench.api.results import Results
from clbench.api.runs import run
from clbench.api.sweeps import sweep
from clbench.api.telling import Board, Checked, check, compare, load
from clbench.api.tuning import Tuned, tune

__all__ = ["Board", "Checked", "Results", "Tuned", "check", "compare", "load", "run", "sweep", "tune"]
