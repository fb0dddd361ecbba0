"""Rows become lines, with the lines that must stand before them."""

import itertools
import os
from collections.abc import Sequence
from typing import NamedTuple

from layerwise.recorder._format import (
    EPOCH,
    STEP,
    columns_line,
    resume_line,
    row_line,
    row_template,
)
from layerwise.recorder._row import Row, Shape

_BLOCK = 12
"""A recorder takes its ids in blocks of ``2**12``."""

_MOST_SHAPES = 256
"""How many shapes of rows are remembered; names that change at every step take no more memory."""


class Table(NamedTuple):
    """The rows of one shape: their id, their columns, and the template of a line."""

    number: int
    columns: tuple[str, ...]
    template: str


class Place(NamedTuple):
    """Where the record is.

    Attributes:
        step: The step of the last batch.
        epoch_end: The step of the last epoch's row.
        step_known: Whether the record is known to have no rows of this step or a later one.
        epoch_known: Likewise for epochs without steps.
    """

    step: int | None
    epoch_end: int | None
    step_known: bool
    epoch_known: bool


class Draft(NamedTuple):
    """Lines to write, and what is so once they are written.

    Attributes:
        text: The lines.
        place: Where the record is then.
        kept: The rows among the lines.
        declared: The ids whose columns are among the lines.
        back: Whether this recorder goes back to a step that it has recorded already.
    """

    text: str
    place: Place
    kept: Sequence[tuple[Table, Row]] = ()
    declared: tuple[int, ...] = ()
    back: bool = False


class Lines:
    """Knows what is in the record, so that it knows what the next line needs before it.

    It believes that lines are in the record once ``commit`` says so.

    Args:
        reopened: Whether the record had rows before.
        fresh: Whether this recorder wrote the first line of the record.
    """

    def __init__(self, reopened: bool, fresh: bool) -> None:
        self.place = Place(None, None, not reopened, not reopened)
        self._tables: dict[Shape, Table] = {}
        self._declared: set[int] = set()
        self._blocks: set[int] = set()
        self._take_block(0 if fresh else None)

    def _take_block(self, block: int | None) -> None:
        number = 1 + int.from_bytes(os.urandom(3), "big") if block is None else block
        self._ids = itertools.count(number << _BLOCK)
        self._blocks.add(number)

    def join(self) -> None:
        """Let the next rows take the place of those that another recorder has written."""
        self.place = self.place._replace(step_known=False, epoch_known=False)

    def renew(self) -> None:
        """Take other ids, and forget what was declared: this process was forked off."""
        self._tables, self._declared = {}, set()
        self.join()
        self._blocks = set()
        self._take_block(None)

    def owns(self, number: int) -> bool:
        """Whether an id is one of this recorder's."""
        return number >> _BLOCK in self._blocks

    def table(self, shape: Shape) -> Table:
        """Look up the table for rows of this shape.

        Raises:
            RecorderError: Two columns have one name, or a name is not text.
        """
        found = self._tables.get(shape)
        if found is None:
            columns = shape.columns()
            if len(self._tables) >= _MOST_SHAPES:
                self._tables, self._declared = {}, set()
            # In one step, so that a signal's handler that records can't take the same.
            number = next(self._ids)
            if not self.owns(number):
                self._take_block(None)
                number = next(self._ids)
            found = self._tables[shape] = Table(number, columns, row_template(number, columns))
        return found

    def draft(self, rows: Sequence[Row], every: int, span: int = 1) -> Draft:
        """The lines of these rows, as far as they are kept, and what has to stand before them.

        A row of a batch stands for up to ``span`` steps, of which its own is the last.

        Raises:
            RecorderError: As in ``table``.
        """
        place, back = self.place, False
        text: list[str] = []
        kept: list[tuple[Table, Row]] = []
        declared: tuple[int, ...] = ()
        for row in rows:
            table = self._tables.get(row.shape) or self.table(row.shape)
            step = row.values[0]
            batch = row.shape.kind == "batch"
            previous = place.step
            if batch and place.step_known and (place.step is None or step >= place.step):
                # Nearly all rows go on, and cost no more than this.
                place = Place(int(step), place.epoch_end, True, place.epoch_known)
            else:
                known = place.step_known
                before, place = _before(row, place)
                if before:
                    text.append(before)
                    back = back or known
            if batch and step % every:
                alone = span == 1 or (previous is not None and previous == step)
                own = span if previous is None or previous > step else step - previous
                if alone or step % every >= min(span, own):
                    continue
            if table.number not in self._declared and table.number not in declared:
                declared = (*declared, table.number)
                text.append(columns_line(table.number, row.shape.kind, table.columns))
            text.append(row_line(table.template, row.values))
            kept.append((table, row))
        return Draft("".join(text), place, kept, declared, back)

    def commit(self, draft: Draft) -> None:
        """Take in that these lines are in the record."""
        if draft.declared:
            self._declared.update(draft.declared)
        self.place = draft.place

    def resumed(self, step: int) -> Draft:
        """The line that says that training goes on from this step; the next rows follow it."""
        return Draft(*_resumed(step))


def _before(row: Row, place: Place) -> tuple[str, Place]:
    """The ``resume`` line if training has gone back to this row, else nothing."""
    text = ""
    if row.shape.kind == "batch":
        step = int(row.values[0])
        if not place.step_known or (place.step is not None and step < place.step):
            text, place = _resumed(step)
        return text, place._replace(step=step)
    if row.shape.fixed[0] == STEP:
        end = int(row.values[0])
        # If batches are recorded, they show whether training went back.
        back = place.step is None and place.epoch_end is not None and end < place.epoch_end
        if back or not place.step_known:
            # This epoch trained at least the step before its end.
            text, place = _resumed(max(end - 1, 0))
        return text, place._replace(epoch_end=end)
    if not place.epoch_known:
        text = resume_line(EPOCH, int(row.values[0]))
    return text, place._replace(epoch_known=True)


def _resumed(step: int) -> tuple[str, Place]:
    # If an epoch ends before the next batch, its step is this one.
    return resume_line(STEP, step), Place(step - 1 if step else None, None, True, True)
