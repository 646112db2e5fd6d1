"""clbench: a continual-learning benchmark harness for the command line.

The *doing* half trains (``clbench.engine``, torch, Avalanche); the *telling* half compares and prints
(``clbench.analysis``, ``clbench.render``) and imports no torch. A Result (``clbench.store``) is the only door
between them.
"""

__version__ = "0.1.0"
