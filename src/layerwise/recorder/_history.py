"""The history of a run: what a recorder wrote, as columns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex

import numpy as np
import numpy.typing as npt

from layerwise._numbers import counted, number_text
from layerwise.errors import RecorderError
from layerwise.recorder._columns import Columns, Numbers
from layerwise.recorder._csv import read_csv, write_csv
from layerwise.recorder._format import RATES, RATIOS
from layerwise.recorder._reading import read_rows
from layerwise.recorder._row import whole
from layerwise.recorder._saved import FINDING, PLAN, SCHEDULE, read_data
from layerwise.recorder._thin import Thinner

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["batch", "epoch"]

_FEWEST = 10


@dataclass(frozen=True, eq=False, repr=False)
class History:
    """What happened in a run, as columns: of its batches, and of its epochs.

    Columns are ``step`` (updates applied before the batch, or by the end of the epoch), ``epoch``,
    ``time`` (seconds since the record was begun), ``loss``, the metrics, ``rate`` (the base
    rate), ``rates/<group>`` and ``ratios/<layer>``, as far as they were recorded; nan where a row
    has no value.

    Attributes:
        batch: The columns of the batches by name, each of shape ``(batches,)``.
        epoch: The columns of the epochs by name, each of shape ``(epochs,)``.
        name: The run's name.
        finding: What the finder found, as plain data for ``LRFinding.from_config``, or None.
        plan: The plan as plain data: ``table``, and ``rates`` of the groups over ``steps``.
        schedule: The schedule as plain data: ``text``, ``config``, and ``factors`` over ``steps``.

    Raises:
        RecorderError: The columns differ in length, or hold something else than numbers.

    Examples:
        >>> from layerwise.recorder import History
        >>> history = History({"step": [0, 1], "loss": [2.0, 1.5], "rates/head": [0.1, 0.05]})
        >>> history
        <History: 2 batches, 0 epochs, loss 2 to 1.5, 1 group>
        >>> history.rates["head"].tolist()
        [0.1, 0.05]
    """

    batch: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    epoch: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    name: str = ""
    finding: Mapping[str, Any] | None = None
    plan: Mapping[str, Any] | None = None
    schedule: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for kind in ("batch", "epoch"):
            object.__setattr__(self, kind, _checked(getattr(self, kind), kind))

    @classmethod
    def load(cls, run: str | Path, rows: SupportsIndex | None = None) -> "History":
        """Read what was recorded in a run's folder; training may still be going on.

        Args:
            run: The run's folder.
            rows: At most so many batches and so many epochs, at least 10: memory then stays the
                same however long the run was. Of each stretch of the run, its first row and those
                of the lowest and the highest loss are kept. All of them if not given.

        Returns:
            The history, without what was void because training went back; see
            ``Recorder.resume``.

        Raises:
            RecorderError: There is no record in the folder, or one that can't be read.

        Examples:
            >>> import tempfile
            >>> from layerwise.recorder import History, Recorder
            >>> run = tempfile.mkdtemp()
            >>> with Recorder(run) as recorder:
            ...     for step in range(1000):
            ...         recorder.log(step=step, loss=99.0 if step == 567 else 1.0)
            >>> thin = History.load(run, rows=50).batch
            >>> len(thin["step"]) <= 50, thin["loss"].max()
            (True, np.float64(99.0))
        """
        run = Path(run)
        if rows is not None and whole(rows, "rows") < _FEWEST:
            raise RecorderError(f"rows must be at least {_FEWEST}, got {rows!r}.")
        columns = {"batch": Columns(), "epoch": Columns()}
        if rows is None:
            for row in read_rows(run):
                columns[row.kind].add(row.columns, row.values)
        else:
            thinners = {kind: Thinner(whole(rows, "rows")) for kind in columns}
            for row in read_rows(run):
                thinners[row.kind].add(row.columns, row.values)
            for kind, thinner in thinners.items():
                for names, values in thinner.finish():
                    columns[kind].add(names, values)
        return cls(
            columns["batch"].finish(),
            columns["epoch"].finish(),
            run.resolve().name,
            *(read_data(run / name) for name in (FINDING, PLAN, SCHEDULE)),
        )

    @property
    def rates(self) -> dict[str, npt.NDArray[Any]]:
        """The learning rate of each group over the batches, by the group's name."""
        return _below(RATES, self.batch)

    @property
    def ratios(self) -> dict[str, npt.NDArray[Any]]:
        """The update-to-weight ratio of each layer; nan at the batches where it was not taken."""
        return _below(RATIOS, self.batch)

    def to_pandas(self, kind: Kind = "batch") -> "pd.DataFrame":
        """The batches, or the epochs, as a data frame.

        Examples:
            >>> from layerwise.recorder import History
            >>> History({"step": [0, 1], "loss": [2.0, 1.5]}).to_pandas()
               step  loss
            0     0   2.0
            1     1   1.5
        """
        import pandas as pd

        return pd.DataFrame(dict(self._columns(kind)))

    def to_csv(self, path: str | Path, kind: Kind = "batch") -> None:
        """Write the batches, or the epochs, as a table with a line of names, every bit kept.

        Examples:
            >>> import pathlib, tempfile
            >>> from layerwise.recorder import History
            >>> path = pathlib.Path(tempfile.mkdtemp()) / "batches.csv"
            >>> History({"step": [0, 1], "loss": [2.0, 1.5]}).to_csv(path)
            >>> print(path.read_text())
            step,loss
            0,2.0
            1,1.5
            <BLANKLINE>
        """
        write_csv(Path(path), self._columns(kind))

    @classmethod
    def from_csv(cls, path: str | Path) -> "History":
        r"""A history of batches from a table: what ``to_csv`` wrote, or your own.

        Args:
            path: The file: a line of names, then numbers; an empty field is nan.

        Raises:
            RecorderError: The file can't be read as such a table.

        Examples:
            >>> import pathlib, tempfile
            >>> from layerwise.recorder import History
            >>> path = pathlib.Path(tempfile.mkdtemp()) / "mine.csv"
            >>> _ = path.write_text("step,loss\n0,2.0\n1,\n")
            >>> History.from_csv(path).batch["loss"].tolist()
            [2.0, nan]
        """
        return cls(read_csv(Path(path)), name=Path(path).stem)

    def _columns(self, kind: str) -> Mapping[str, Numbers]:
        if kind not in ("batch", "epoch"):
            raise RecorderError(f"A history has the kinds 'batch' and 'epoch', got {kind!r}.")
        return self.epoch if kind == "epoch" else self.batch

    def __repr__(self) -> str:
        name = f" {self.name!r}" if self.name else ""
        parts = [counted(_length(self.batch), "batch", "batches")]
        parts.append(counted(_length(self.epoch), "epoch"))
        loss = self.batch.get("loss", self.epoch.get("loss"))
        if loss is not None and len(loss):
            parts.append(f"loss {number_text(loss[0])} to {number_text(loss[-1])}")
        if self.rates:
            parts.append(counted(len(self.rates), "group"))
        return f"<History{name}: {', '.join(parts)}>"


def _checked(columns: Mapping[str, Any], kind: str) -> Mapping[str, Numbers]:
    checked = {}
    for name, values in columns.items():
        try:
            column = np.array(values)
            column = column if np.issubdtype(column.dtype, np.integer) else column.astype(float)
        except (TypeError, ValueError):
            raise RecorderError(
                f"The {kind} column {name!r} holds something else than numbers."
            ) from None
        if column.ndim != 1:
            raise RecorderError(
                f"The {kind} column {name!r} has the shape {column.shape}, not one axis."
            )
        column.flags.writeable = False
        checked[str(name)] = column
    lengths = {name: len(column) for name, column in checked.items()}
    if len(set(lengths.values())) > 1:
        raise RecorderError(f"The {kind} columns differ in length: {lengths}.")
    return MappingProxyType(checked)


def _below(prefix: str, columns: Mapping[str, Numbers]) -> dict[str, npt.NDArray[Any]]:
    return {
        name.removeprefix(prefix): column
        for name, column in columns.items()
        if name.startswith(prefix)
    }


def _length(columns: Mapping[str, Numbers]) -> int:
    return len(next(iter(columns.values()), ()))
