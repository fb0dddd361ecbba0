"""Rows of different shapes become columns of one length."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from layerwise.recorder._format import EPOCH, STEP

Numbers = npt.NDArray[np.float64] | npt.NDArray[np.int64]

# Rows wait as Python lists, at ten times the size, only until there are so many.
_BLOCK = 4096


class Columns:
    """Gathers rows; where a row has no value in a column, there is nan."""

    def __init__(self) -> None:
        self.count = 0
        self._waiting: dict[tuple[str, ...], list[Sequence[float | str]]] = {}
        self._places: dict[tuple[str, ...], list[int]] = {}
        self._blocks: list[tuple[tuple[str, ...], npt.NDArray[np.int64], npt.NDArray[np.float64]]]
        self._blocks = []

    def add(self, columns: tuple[str, ...], values: Sequence[float | str]) -> None:
        """Add a row; ``nan`` and ``inf`` may be text."""
        rows = self._waiting.setdefault(columns, [])
        rows.append(values)
        self._places.setdefault(columns, []).append(self.count)
        self.count += 1
        if len(rows) == _BLOCK:
            self._pack(columns)

    def _pack(self, columns: tuple[str, ...]) -> None:
        values = np.array(self._waiting.pop(columns), dtype=np.float64)
        places = np.array(self._places.pop(columns), dtype=np.int64)
        self._blocks.append((columns, places, values))

    def finish(self) -> dict[str, Numbers]:
        """The columns in the order in which they first came; whole numbers where they count."""
        for columns in tuple(self._waiting):
            self._pack(columns)
        return {name: self._column(name) for name in self._names()}

    def _names(self) -> Iterator[str]:
        # The first to come stands first, though its block may have been packed later.
        shapes = sorted(self._blocks, key=lambda block: int(block[1][0]))
        yield from dict.fromkeys(name for columns, _, _ in shapes for name in columns)

    def _column(self, name: str) -> Numbers:
        column = np.full(self.count, np.nan)
        for columns, places, values in self._blocks:
            if name in columns:
                column[places] = values[:, columns.index(name)]
        if name in (STEP, EPOCH) and not np.isnan(column).any():
            return column.astype(np.int64)
        return column
