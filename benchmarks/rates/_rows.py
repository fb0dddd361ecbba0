"""What was measured, as plain rows: one for each method in each draw."""

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch

from ._cross_validation import cross_validated
from ._kept import Kept
from ._methods import BEST_TILT, ONE_RATE, UNAIDED, Outcome
from ._oracle import oracle
from ._panel import TASKS
from ._task import Draw

METHODS: dict[str, Callable[[Draw], Outcome]] = {
    **UNAIDED,
    "one rate, cross-validated": lambda draw: cross_validated(draw, (1.0,)),
    "best tilt, cross-validated": lambda draw: cross_validated(draw, draw.task.tilts),
}
"""All methods that see no test data, by name; those of ``UNAIDED`` cost no more than a search."""

RESULTS = Path(__file__).parent.parent / "results" / "rates.json"


class Row(NamedTuple):
    """A method in a draw.

    Attributes:
        task: The task's name.
        seed: The draw's.
        method: The method's name.
        loss: The test loss after the training.
        accuracy: The test accuracy.
        share: (loss - lowest) / (untrained - lowest): 0 is the oracle's best, 1 no training.
        rate: The base rate, or None.
        updates: What the search cost.
        reason: What the method says; for the oracle, the tilt.
    """

    task: str
    seed: int
    method: str
    loss: float
    accuracy: float
    share: float
    rate: float | None
    updates: int
    reason: str


def rows_of(draw: Draw, methods: Iterable[str], again: Iterable[str] = ()) -> list[Row]:
    """A row for each method, and for the two choices by the test set.

    Args:
        draw: What to measure in.
        methods: Names of methods.
        again: Those that are measured though a result is kept.
    """
    kept = Kept(draw)
    known = oracle(draw, kept)
    lowest = known.lowest.test_loss
    worst = min(known.untrained.test_loss, constant_loss(draw))

    def row(method: str, found: Outcome) -> Row:
        loss = found.test_loss if found.test_loss < math.inf else worst
        share = min((loss - lowest) / (worst - lowest), 1.0)
        numbers = (round(loss, 4), round(found.test_accuracy, 4), round(share, 4))
        rate = None if found.rate is None else float(f"{found.rate:.4g}")
        at = (draw.task.name, draw.seed, method)
        return Row(*at, *numbers, rate, found.updates, found.reason)

    rows = []
    for name, tilts in ((ONE_RATE, (1.0,)), (BEST_TILT, draw.task.tilts)):
        tilt, rate = known.best(tilts)
        best = asdict(known.cells[tilt, rate])
        rows.append(row(name, Outcome(**best, rate=rate, reason=f"tilt {tilt:g}")))
    for name in methods:
        label = f"method {name}"
        if name in again or not kept.has(label):
            kept.put(label, METHODS[name](draw))
        rows.append(row(name, Outcome(**kept.read(label))))
    return rows


def constant_loss(draw: Draw) -> float:
    """The test loss of saying the same of all: the entropy of the labels."""
    counts = torch.bincount(draw.test.y.flatten()).double()
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * shares.log()).sum())


def save(rows: Iterable[Row], place: Path = RESULTS) -> list[Row]:
    """Write rows beside those of other tasks, draws and methods that are there; all of them."""
    known = {row[:3]: row for row in load(place)} | {row[:3]: row for row in rows}
    order = list(TASKS)
    kept = sorted(
        (row for row in known.values() if row.task in TASKS),
        key=lambda row: (order.index(row.task), row.seed, row.method),
    )
    lines = ",\n".join(json.dumps(row) for row in kept)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(f'{{"columns": {json.dumps(Row._fields)},\n"rows": [\n{lines}\n]}}\n', "utf-8")
    return kept


def load(place: Path = RESULTS) -> list[Row]:
    """The rows that were saved."""
    if not place.exists():
        return []
    return [Row(*row) for row in json.loads(place.read_text("utf-8"))["rows"]]
