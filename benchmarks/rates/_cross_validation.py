"""Cross-validation of every cell of the oracle's grid, on the few labels alone.

It trains 288 times or more, far more than any search may: it is there to be compared with.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace

import numpy as np

from ._kept import Kept
from ._methods import Outcome
from ._oracle import Oracle, oracle
from ._pretrained import CACHE
from ._task import Draw

FOLDS = 4


def cross_validated(draw: Draw, tilts: Sequence[float]) -> Outcome:
    """The whole training at the cell that the folds choose.

    In each fold the network is trained on three quarters of the labels, in every cell, for as many
    updates as later, and tested on the last quarter. The lowest mean loss wins.

    Args:
        draw: The network and its few labels.
        tilts: The tilts to choose from.
    """
    whole = oracle(draw, Kept(draw))
    folds = list(_folds(draw))
    cells = [
        cell
        for cell in whole.cells
        if cell[0] in tilts and all(cell in fold.cells for fold in folds)
    ]
    best = min(cells, key=lambda cell: sum(fold.cells[cell].test_loss for fold in folds))
    return Outcome(
        **asdict(whole.cells[best]),
        rate=best[1],
        updates=FOLDS * len(cells) * draw.task.updates,
        reason=f"tilt {best[0]:g}",
    )


def _folds(draw: Draw) -> Iterator[Oracle]:
    """The oracle of each fold, which chooses on the labels that it doesn't train on."""
    order = np.random.default_rng(draw.seed).permutation(len(draw.train.y))
    if draw.train.y.ndim == 1:  # each class in all folds
        order = order[np.argsort(draw.train.y.numpy()[order], kind="stable")]
    for number in range(FOLDS):
        tested = np.arange(len(order)) % FOLDS == number
        part = replace(draw, train=draw.train.at(order[~tested]), test=draw.train.at(order[tested]))
        yield oracle(part, Kept(part, CACHE / "folds" / str(number)))
