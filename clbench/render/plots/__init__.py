"""Pictures of leaderboards, for papers. Only this folder knows matplotlib."""

from clbench.render.plots.draw import PICTURES, Scene, draw, figure

__all__ = ["PICTURES", "Scene", "draw", "figure"]
