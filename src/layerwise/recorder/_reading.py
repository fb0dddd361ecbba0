"""Reads the rows of a record that count, in order."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeAlias

from layerwise.errors import RecorderError
from layerwise.recorder._columns import Cells, Names
from layerwise.recorder._file import warn
from layerwise.recorder._format import EPOCH, FILE, STEP, check_header

Table: TypeAlias = tuple[str, Names]
"""``batch`` or ``epoch``, and the columns of its rows."""

_OBJECT = ord("{")


class Read(NamedTuple):
    """A row of the file: ``batch`` or ``epoch``, its columns, and its numbers."""

    kind: str
    columns: Names
    values: Cells


class Limits(NamedTuple):
    """Rows before a line are void from this step or this epoch on."""

    line: int
    step: float
    epoch: float


def read_rows(run: Path) -> Iterator[Read]:
    """Read the rows of a run that count; a last line torn by a crash is left out.

    The file is read twice, line by line, since only later lines say which rows are void. A
    ``RecorderWarning`` counts the lines in the middle that can't be read.

    Raises:
        RecorderError: There is no record, or one that this Layerwise can't read.
    """
    path = run / FILE
    try:
        with path.open("rb") as file:
            check_header(file.readline(), path)
            limits, count = _limits(file)
            file.seek(0)
            yield from _rows(file, count, limits, path)
    except FileNotFoundError:
        raise RecorderError(
            f"There is no record in {run}: {path} is missing. A Recorder({str(run)!r}) writes it."
        ) from None
    except OSError as error:
        raise RecorderError(f"{path} can't be read: {error.strerror}.") from error
    except RecorderError:
        raise
    except ValueError as error:  # what no path can have in it
        raise RecorderError(f"{path} can't be read: {error}.") from error


def _limits(file: BinaryIO) -> tuple[list[Limits], int]:
    """The limits that each ``resume`` line sets, last one first, and the number of lines."""
    found = []
    count = 1  # the header is read
    for line in file:
        count += 1
        if line[0] == _OBJECT:
            match _parsed(line):
                case {"resume": {"step": int(step)}}:
                    found.append(Limits(count, step, float("inf")))
                case {"resume": {"epoch": int(epoch)}}:
                    found.append(Limits(count, float("inf"), epoch))
    lowest = Limits(0, float("inf"), float("inf"))
    limits = []
    for own in reversed(found):
        lowest = Limits(own.line, min(own.step, lowest.step), min(own.epoch, lowest.epoch))
        limits.append(lowest)
    return limits, count


def _rows(file: BinaryIO, count: int, limits: list[Limits], path: Path) -> Iterator[Read]:
    none = Limits(count + 1, float("inf"), float("inf"))
    now = limits.pop() if limits else none
    tables: dict[int, Table] = {}
    damaged = 0
    # Not beyond the end of the first reading: the run may still be going on.
    for number, line in zip(range(1, count + 1), file, strict=False):
        while number >= now.line and now is not none:
            now = limits.pop() if limits else none
        match _parsed(line):
            # Rows first, since there may be millions.
            case [int(table), *_] as row if _fits(tables.get(table), row):
                kind, names = tables[table]
                if _counts(kind, names, row, now):
                    yield Read(kind, names, row[1:])
            case {"columns": [*columns], "of": ("batch" | "epoch") as kind, "id": int(table)}:
                tables[table] = kind, tuple(map(str, columns))
            case {}:
                pass  # the header, a resume, or a line that a later version adds
            case _ if number < count or line.endswith(b"\n"):
                damaged += 1
    if damaged:
        lines = "1 line" if damaged == 1 else f"{damaged} lines"
        warn(f"{lines} of {path} can't be read and are left out.")


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line.decode())
    except ValueError:
        return None


def _fits(table: Table | None, row: list[float]) -> bool:
    return table is not None and len(row) == 1 + len(table[1])


def _counts(kind: str, columns: Names, row: list[float], limits: Limits) -> bool:
    """Whether no later line makes a row void."""
    if columns[0] == STEP:
        if kind == "batch":
            return bool(row[1] < limits.step)
        # An epoch's step is its end, so an epoch that ends where training goes on still counts.
        if row[1] > limits.step:
            return False
    if kind == "epoch" and EPOCH in columns:
        return bool(row[1 + columns.index(EPOCH)] < limits.epoch)
    return True
