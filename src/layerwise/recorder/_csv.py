"""Columns as a table in text, and back."""

import csv
from collections.abc import Mapping
from pathlib import Path

from layerwise.errors import RecorderError
from layerwise.recorder._columns import Columns, Numbers


def write_csv(path: Path, columns: Mapping[str, Numbers]) -> None:
    """Write columns of one length, each number so that it is read back the same."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        # Python's own numbers, a block at a time: their text is exact, and memory stays small.
        length = len(next(iter(columns.values()), ()))
        for start in range(0, length, 4096):
            block = [column[start : start + 4096].tolist() for column in columns.values()]
            writer.writerows(zip(*block, strict=True))


def read_csv(path: Path) -> dict[str, Numbers]:
    """The columns of a table.

    Raises:
        RecorderError: It is not there, or no table of numbers.
    """
    columns = Columns()
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file)
            names = tuple(next(reader, []))
            for row in reader:
                if len(row) != len(names):
                    raise RecorderError(
                        f"Line {reader.line_num} of {path} has {len(row)} fields, and there are "
                        f"{len(names)} names in the first line."
                    )
                columns.add(names, [float(text) if text else float("nan") for text in row])
    except OSError as error:
        raise RecorderError(f"{path} can't be read: {error.strerror}.") from None
    except (ValueError, csv.Error) as error:
        if isinstance(error, RecorderError):
            raise
        raise RecorderError(f"Line {reader.line_num} of {path} can't be read: {error}.") from None
    return columns.finish()
