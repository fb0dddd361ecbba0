"""Reads the rows of a record that count, in order, and leaves out what is wrong."""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeAlias

from layerwise.errors import RecorderError
from layerwise.recorder._columns import Cells, Names
from layerwise.recorder._file import warn
from layerwise.recorder._format import (
    EPOCH,
    FILE,
    LONGEST_LINE,
    STEP,
    check_header,
    is_count,
    is_torn_header,
    parsed,
)

_OBJECT = ord("{")
_NUMBERS = {int, float}
_NOT_FINITE = {"nan", "inf", "-inf"}


class Table(NamedTuple):
    """What the rows with one id are.

    Attributes:
        kind: ``batch`` or ``epoch``.
        columns: The names of the columns.
        counts: The places of step and epoch in a line, which hold whole numbers.
    """

    kind: str
    columns: Names
    counts: tuple[int, ...]


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


Line: TypeAlias = bytes | None
"""A line of the file; None if it is too long to be one of a record."""


def read_rows(run: Path) -> Iterator[Read]:
    """Read the rows of a run that count; a last line torn by a crash is left out.

    The file is read twice, line by line, since only later lines say which rows are void. A
    ``RecorderWarning`` counts the lines in the middle that can't be read. A file without a whole
    first line, of a process that was killed as it began, has no rows.

    Raises:
        RecorderError: There is no record, or one that this Layerwise can't read.
    """
    path = run / FILE
    try:
        with path.open("rb") as file:
            first = file.readline(LONGEST_LINE)
            if first.endswith(b"\n") or not is_torn_header(first):
                check_header(first, path)
            limits, count = _limits(file)
            file.seek(0)
            yield from _rows(file, count, limits, path)
    except FileNotFoundError:
        raise RecorderError(
            f"There is no record in {run}: {path} is missing. A Recorder({str(run)!r}) writes it."
        ) from None
    except (OSError, ValueError) as error:  # a ValueError for a name with a zero in it
        if isinstance(error, RecorderError):
            raise
        raise RecorderError(
            f"{str(path)!r} can't be read: {getattr(error, 'strerror', None) or error}."
        ) from error


def read_events(run: Path) -> list[tuple[int, str]]:
    """What happened in a run, with its step; not what a training that went back has repeated."""
    found: list[tuple[int, str]] = []
    with (run / FILE).open("rb") as file:
        for line in _lines(file):
            if line and line[0] == _OBJECT:
                match parsed(line):
                    case {"event": {"step": step, "text": str(text)}} if is_count(step):
                        found.append((step, text))
                    case {"resume": {"step": step}} if is_count(step):
                        # What was decided by a step is in the checkpoint of that step.
                        found = [event for event in found if event[0] <= step]
    return found


def _lines(file: BinaryIO) -> Iterator[Line]:
    while line := file.readline(LONGEST_LINE):
        if len(line) < LONGEST_LINE or line.endswith(b"\n"):
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = file.readline(LONGEST_LINE)
        yield None


def _limits(file: BinaryIO) -> tuple[list[Limits], int]:
    """The limits that each ``resume`` line sets, last one first, and the number of lines."""
    found = []
    count = 1  # the header is read
    for line in _lines(file):
        count += 1
        if line and line[0] == _OBJECT:
            match parsed(line):
                case {"resume": {"step": step}} if is_count(step):
                    found.append(Limits(count, step, math.inf))
                case {"resume": {"epoch": epoch}} if is_count(epoch):
                    found.append(Limits(count, math.inf, epoch))
    lowest = Limits(0, math.inf, math.inf)
    limits = []
    for own in reversed(found):
        lowest = Limits(own.line, min(own.step, lowest.step), min(own.epoch, lowest.epoch))
        limits.append(lowest)
    return limits, count


def _rows(file: BinaryIO, count: int, limits: list[Limits], path: Path) -> Iterator[Read]:
    none = Limits(count + 1, math.inf, math.inf)
    now = limits.pop() if limits else none
    tables: dict[int, Table] = {}
    damaged = 0
    # Not beyond the end of the first reading: the run may still be going on.
    for number, line in zip(range(1, count + 1), _lines(file), strict=False):
        while number >= now.line and now is not none:
            now = limits.pop() if limits else none
        value = parsed(line) if line else None
        # Rows first, since there may be millions.
        if type(value) is list:
            table = tables.get(value[0]) if value and type(value[0]) is int else None
            if table is not None and _fits(table, value):
                if _counts(table, value, now):
                    yield Read(table.kind, table.columns, value[1:])
                continue
        elif type(value) is dict:
            if "columns" in value:
                table, known = _table(value), value.get("id")
                if table is not None:
                    tables[value["id"]] = table
                    continue
                if type(known) is int:
                    # Rows that follow must not be read under the names of an earlier line.
                    tables.pop(known, None)
            elif value and not _is_wrong_resume(value):
                continue  # the header, a resume, or a line that a later version adds
        # Only the last line may be torn: it is still being written, or the process was killed.
        if number < count or line is None or line.endswith(b"\n"):
            damaged += 1
    if damaged:
        lines = "1 line" if damaged == 1 else f"{damaged} lines"
        warn(f"{lines} of {path} can't be read and are left out.")


def _is_wrong_resume(value: dict[str, object]) -> bool:
    match value.get("resume", {"step": 0}):
        case {"step": count} | {"epoch": count}:
            return not is_count(count)
    return True


def _table(value: dict[str, Any]) -> Table | None:
    """What a line of columns declares, if it is a right one."""
    match value:
        case {"columns": list(found), "of": "batch" | "epoch" as kind, "id": number}:
            texts = bool(found) and all(type(name) is str for name in found)
            if texts and len(set(found)) == len(found) and type(number) is int and number >= 0:
                places = (found.index(name) + 1 for name in (STEP, EPOCH) if name in found)
                return Table(kind, tuple(found), tuple(places))
    return None


def _fits(table: Table, row: list[Any]) -> bool:
    """Whether a line has a number that a float holds for every column."""
    if len(row) != 1 + len(table.columns):
        return False
    for place in table.counts:
        if not is_count(row[place]):
            return False
    # The quickest look at all of them; a sum that overflows only means to look again.
    with contextlib.suppress(OverflowError):
        if set(map(type, row)) <= _NUMBERS and math.isfinite(sum(row)):
            return True
    return all(map(_is_number, row))


def _is_number(value: object) -> bool:
    if isinstance(value, str):
        return value in _NOT_FINITE
    try:
        return type(value) in _NUMBERS and math.isfinite(value)  # type: ignore[arg-type]
    except OverflowError:
        return False


def _counts(table: Table, row: list[float], limits: Limits) -> bool:
    """Whether no later line makes a row void."""
    kind, columns, _ = table
    if columns[0] == STEP:
        if kind == "batch":
            return row[1] < limits.step
        # An epoch's step is its end, so an epoch that ends where training goes on still counts.
        if row[1] > limits.step:
            return False
    if kind == "epoch" and EPOCH in columns:
        return row[1 + columns.index(EPOCH)] < limits.epoch
    return True
