"""A record's file becomes rows: those that count, in their order."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from layerwise.errors import RecorderError
from layerwise.recorder._format import EPOCH, FILE, STEP, check_header
from layerwise.recorder._warning import warn

_OBJECT = ord("{")


class Read(NamedTuple):
    """A row as it stands in the file: ``batch`` or ``epoch``, and its numbers by column."""

    kind: str
    columns: tuple[str, ...]
    values: list[Any]


class Limits(NamedTuple):
    """Rows that stand before a line are void from here on."""

    line: int
    step: float
    epoch: float


def read_rows(run: Path) -> Iterator[Read]:
    """The rows of a run that count; a line torn by a crash is left out.

    The file is read twice, line by line: what is void is known only from what follows it.

    Raises:
        RecorderError: There is no record, or one that this Layerwise can't read.

    Warns:
        RecorderWarning: Lines in the middle can't be read.
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


def _limits(file: BinaryIO) -> tuple[list[Limits], int]:
    """What every line's rows are held against, the last resume first; and the number of lines."""
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
    tables: dict[Any, tuple[str, tuple[str, ...]]] = {}
    damaged = 0
    # No further than the first reading came: the run may still be going on.
    for number, line in zip(range(1, count + 1), file, strict=False):
        while number >= now.line and now is not none:
            now = limits.pop() if limits else none
        match _parsed(line):
            # The usual case first: there may be millions.
            case [int(table), *_] as row if _fits(tables.get(table), row):
                kind, names = tables[table]
                if _counts(kind, names, row, now):
                    yield Read(kind, names, row[1:])
            case {"columns": [*columns], "of": ("batch" | "epoch") as kind, "id": int(table)}:
                tables[table] = kind, tuple(map(str, columns))
            case {}:
                pass  # the header, a resume, and what a later version may add
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


def _fits(table: tuple[str, tuple[str, ...]] | None, row: list[Any]) -> bool:
    return table is not None and len(row) == 1 + len(table[1])


def _counts(kind: str, columns: tuple[str, ...], row: list[Any], limits: Limits) -> bool:
    """Whether no later line has made a row void."""
    if columns[0] == STEP:
        if kind == "batch":
            return bool(row[1] < limits.step)
        # An epoch's step is that of its end: the one at which training goes on is not void.
        if row[1] > limits.step:
            return False
    if kind == "epoch" and EPOCH in columns:
        return bool(row[1 + columns.index(EPOCH)] < limits.epoch)
    return True
