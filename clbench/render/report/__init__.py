"""The report: one HTML file, without network, of leaderboards, pictures and every number's provenance."""

from clbench.render.report.build import build

__all__ = ["build"]
