"""A grid: the values of layers over steps, as a heat map draws them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from layerwise._series import Floats
from layerwise.report._run import as_floats

RATE, MULTIPLIER, RATIO = "learning rate", "multiplier", "update ÷ weights (ratio of norms)"


@dataclass(frozen=True)
class Grid:
    """The values of each layer at each step.

    Attributes:
        names: The layers, each once.
        steps: Shape ``(n,)``, rising.
        values: Shape ``(layers, n)``.
        unit: What the values are, for captions.
        planned: Whether they were planned before the training, and nothing was recorded in it.
    """

    names: tuple[str, ...]
    steps: Floats
    values: Floats
    unit: str
    planned: bool = False


def recorded(steps: Floats, columns: Mapping[str, Floats], unit: str) -> Grid | None:
    """Recorded columns as a grid, if they have any value."""
    if not columns:
        return None
    values = np.stack([as_floats(column) for column in columns.values()])
    # Ratios are recorded every few steps only.
    there = np.isfinite(values).any(axis=0)
    if not there.any():
        return None
    return Grid(tuple(columns), steps[there], values[:, there], unit)
