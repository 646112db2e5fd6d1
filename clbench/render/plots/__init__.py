"""Pictures of leaderboards, for papers (files) and for the report (SVG). Only this folder knows matplotlib."""

from clbench.render.plots.draw import PICTURES, Scene, draw, figure, svg

__all__ = ["PICTURES", "Scene", "draw", "figure", "svg"]
