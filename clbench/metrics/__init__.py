"""Metrics: pure functions of the accuracy matrix R, found by their decorator.

``R[t][j]`` is the test accuracy on task j after training stage t, in [0, 1]; row 0 is before any training. A metric
returns None where it is not defined, for instance where one stage trains all tasks at once.
"""

from clbench.metrics.registry import METRICS, Cell, Confusion, Course, Matrix, Metric, Removal, Unit, compute, discover

__all__ = ["METRICS", "Cell", "Confusion", "Course", "Matrix", "Metric", "Removal", "Unit", "compute"]

discover()
