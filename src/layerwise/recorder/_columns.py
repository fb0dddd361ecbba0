"""Rows of different shapes become columns of one length, and columns a table in text."""

import csv
import math
from collections.abc import Mapping, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from layerwise._checks import MOST_STEPS
from layerwise._files import written_whole
from layerwise._series import ABSENT, has_value
from layerwise.errors import RecorderError
from layerwise.recorder._format import EPOCH, STEP

Column: TypeAlias = npt.NDArray[np.float64] | npt.NDArray[np.int64]
Names: TypeAlias = tuple[str, ...]
Cells: TypeAlias = Sequence[float | str]
"""The numbers of a row; ``nan`` and ``inf`` may be text."""

_BLOCK = 4096
"""How many rows wait as Python lists, which take ten times the memory of an array."""


class Columns:
    """Gathers rows. Where a row has no value in a column, there is a nan of its own kind."""

    def __init__(self) -> None:
        self.count = 0
        self._waiting: dict[Names, list[tuple[int, Cells]]] = {}
        self._blocks: list[tuple[Names, npt.NDArray[np.int64], npt.NDArray[np.float64]]] = []

    def add(self, columns: Names, values: Cells) -> None:
        """Add a row."""
        rows = self._waiting.setdefault(columns, [])
        rows.append((self.count, values))
        self.count += 1
        if len(rows) == _BLOCK:
            self._pack(columns)

    def _pack(self, columns: Names) -> None:
        places, values = zip(*self._waiting.pop(columns), strict=True)
        self._blocks.append((columns, np.array(places, np.int64), np.array(values, np.float64)))

    def finish(self) -> dict[str, Column]:
        """The columns in order of first appearance; steps and epochs are whole numbers."""
        for columns in tuple(self._waiting):
            self._pack(columns)
        # By the first row of each block: a shape that came early may have been packed late.
        blocks = sorted(self._blocks, key=lambda block: int(block[1][0]))
        found: dict[str, Column] = {}
        for columns, places, values in blocks:
            for name, cells in zip(columns, values.T, strict=True):
                if name not in found:
                    found[name] = np.full(self.count, ABSENT)
                found[name][places] = cells
        for name in (STEP, EPOCH):
            if name in found and (found[name] == np.trunc(found[name])).all():
                found[name] = found[name].astype(np.int64)
        return found


def write_csv(path: Path, columns: Mapping[str, Column]) -> None:
    """Write columns of one length, so that each number is read back exactly.

    A field is empty where a row has no value.
    """
    with (
        written_whole(path, "The table", RecorderError) as raw,
        # A name may have half a character, which no encoding writes: its escape stands there.
        TextIOWrapper(raw, "utf-8", errors="backslashreplace", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        # Python writes its own floats exactly; a block at a time keeps the memory small.
        length = len(next(iter(columns.values()), ()))
        for start in range(0, length, _BLOCK):
            block = [_fields(column[start : start + _BLOCK]) for column in columns.values()]
            writer.writerows(zip(*block, strict=True))


def read_csv(path: Path) -> dict[str, Column]:
    """Read the columns of a table.

    Raises:
        RecorderError: The file can't be read as a table of numbers.
    """
    columns = Columns()
    line = 1
    try:
        # Excel's "CSV UTF-8" begins with a mark, which is no part of the first name.
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            names = tuple(next(reader, []))
            if len(set(names)) < len(names):
                raise RecorderError(f"Two columns of {path} have one name.")
            counts = [place for place, name in enumerate(names) if name in (STEP, EPOCH)]
            for row in reader:
                line = reader.line_num
                if len(row) != len(names):
                    raise RecorderError(
                        f"Line {line} of {path} has {len(row)} fields, but its first line has "
                        f"{len(names)} names."
                    )
                values = list(map(_number, row))
                for place in counts:
                    if abs(values[place]) >= MOST_STEPS and row[place] != str(MOST_STEPS):
                        raise ValueError(f"{row[place]!r} is above 2**53.")
                columns.add(names, values)
    except OSError as error:
        raise RecorderError(f"{path} can't be read: {error.strerror}.") from None
    except RecorderError:
        raise
    except (ValueError, csv.Error) as error:
        raise RecorderError(
            f"Line {line} of {str(path)!r} can't be read: {str(error)[:200].rstrip('.')}."
        ) from None
    return columns.finish()


def _fields(values: Column) -> list[float | str]:
    numbers: list[float | str] = values.tolist()
    for place in np.flatnonzero(~has_value(values)):
        numbers[place] = ""
    return numbers


def _number(text: str) -> float:
    """A field of a table; an empty one is no value."""
    value = float(text) if text else float(ABSENT)
    if math.isinf(value) and any(letter.isdigit() for letter in text):
        raise ValueError(f"{text[:60]!r} is more than a float can hold.")
    return value
