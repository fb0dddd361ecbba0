"""Rows become lines, with the lines that must stand before them."""

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


class Table(NamedTuple):
    """The rows of one shape: their id, their columns, and the template of a line."""

    number: int
    columns: tuple[str, ...]
    template: str


class Lines:
    """Remembers what it has made lines of, so that it knows what the next line needs before it.

    Args:
        reopened: Whether the record had rows before.
    """

    def __init__(self, reopened: bool) -> None:
        self.step: int | None = None  # of the last batch
        self._epoch_end: int | None = None  # the step of the last epoch's row
        self._step_known = self._epoch_known = not reopened
        self._tables: dict[Shape, Table] = {}
        self._declared: set[int] = set()

    def table(self, shape: Shape) -> Table:
        """Look up the table for rows of this shape.

        Raises:
            RecorderError: Two columns have one name, or a name is not text.
        """
        found = self._tables.get(shape)
        if found is None:
            number, columns = len(self._tables), shape.columns()
            found = Table(number, columns, row_template(number, columns))
            self._tables[shape] = found
        return found

    def of_row(self, row: Row, table: Table) -> str:
        """The line of a row, after that of its columns if they are new."""
        line = row_line(table.template, row.values)
        if table.number in self._declared:
            return line
        self._declared.add(table.number)
        return columns_line(table.number, row.shape.kind, table.columns) + line

    def before(self, row: Row) -> str:
        """The ``resume`` line if training has gone back to this row, else nothing."""
        if row.shape.kind == "batch":
            step = int(row.values[0])
            back = not self._step_known or (self.step is not None and step < self.step)
            text = self.resumed(step) if back else ""
            self.step = step
            return text
        if row.shape.fixed[0] == STEP:
            end = int(row.values[0])
            # If batches are recorded, they show whether training went back.
            back = self.step is None and self._epoch_end is not None and end < self._epoch_end
            # This epoch trained at least the step before its end.
            text = self.resumed(max(end - 1, 0)) if back or not self._step_known else ""
            self._epoch_end = end
            return text
        if self._epoch_known:
            return ""
        self._epoch_known = True
        return resume_line(EPOCH, int(row.values[0]))

    def resumed(self, step: int) -> str:
        """The line that says that training goes on from this step; the next rows follow it."""
        self._step_known = self._epoch_known = True
        # If an epoch ends before the next batch, its step is this one.
        self.step = step - 1 if step else None
        self._epoch_end = None
        return resume_line(STEP, step)
