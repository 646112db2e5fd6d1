"""Mean and spread of columns, block by block."""

from __future__ import annotations

import numpy as np

from clbench.data.dataset import Array


class Running:
    """Count, mean and squared distances from it of each column of what was added (Chan et al. 1979); NaN: missing."""

    def __init__(self, columns: int) -> None:
        self.count, self.mean, self._square = np.zeros(columns), np.zeros(columns), np.zeros(columns)

    def add(self, values: Array) -> Array:
        """Take in float64 [n, columns]; return where one is there."""
        there: Array = ~np.isnan(values)
        count = there.sum(0)
        mean = np.divide(np.where(there, values, 0).sum(0), count, out=np.zeros(len(count)), where=count > 0)
        square = (np.where(there, values - mean, 0) ** 2).sum(0)
        total = np.maximum(self.count + count, 1)
        apart = mean - self.mean
        self._square += square + apart**2 * self.count * count / total
        self.mean += apart * count / total
        self.count += count
        return there

    @property
    def spread(self) -> Array:
        """The standard deviations."""
        return np.sqrt(self._square / np.maximum(self.count, 1))

    @property
    def constant(self) -> Array:
        """Which columns never change, but for rounding."""
        return self.spread <= 1e-6 * np.maximum(np.abs(self.mean), 1e-6)
