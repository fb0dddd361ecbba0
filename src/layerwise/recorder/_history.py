"""The history of a run: what a recorder wrote, read as columns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex

import numpy as np
import numpy.typing as npt

from layerwise import _show
from layerwise._checks import MOST_STEPS, choice, whole
from layerwise._numbers import counted, number_text
from layerwise._series import has_value
from layerwise.errors import RecorderError
from layerwise.recorder._columns import Column, Columns, read_csv, write_csv
from layerwise.recorder._format import EPOCH, NO_METRICS, RATES, RATIOS, STEP, VALIDATION
from layerwise.recorder._reading import read_events, read_rows
from layerwise.recorder._saved import FINDING, FOUND_RATES, PLAN, SCHEDULE, SETUP, read_data
from layerwise.recorder._thin import Thinner

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["batch", "epoch"]

_FEWEST = 10


@dataclass(frozen=True, eq=False, repr=False)
class History:
    """What happened in a run, as columns of its batches and of its epochs.

    The columns are ``step`` (updates applied before the batch, or by the end of the epoch),
    ``epoch``, ``time`` (seconds since the record was begun), ``loss``, the metrics, ``rate`` (the
    base rate), ``rates/<group>`` and ``ratios/<layer>``, where they were recorded. Where a row
    has no value, there is nan.

    Attributes:
        batch: The columns of the batches by name, each of shape ``(batches,)``.
        epoch: The columns of the epochs by name, each of shape ``(epochs,)``.
        name: The run's name.
        finding: What the finder found, as plain data for ``LRFinding.from_config``, or None.
        plan: The plan as plain data (``table``, and ``rates`` of the groups over ``steps``), or
            None.
        schedule: The schedule as plain data (``text``, ``config``, and ``factors`` over
            ``steps``), or None.
        found_rates: What a search for a rate for each band found, as plain data for
            ``RatesFinding.from_config``, or None.
        events: What happened, as pairs of a step and a text, in order.
        setup: With what the run trained, as plain data (``optimizer``, ``date`` and ``versions``),
            or None.

    Raises:
        RecorderError: The columns differ in length, or hold something other than numbers.

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
    found_rates: Mapping[str, Any] | None = None
    events: tuple[tuple[int, str], ...] = ()
    setup: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for kind in ("batch", "epoch"):
            object.__setattr__(self, kind, _checked(getattr(self, kind), kind))

    @classmethod
    def load(cls, run: str | Path, rows: SupportsIndex | None = None) -> "History":
        """Read what was recorded in a run's folder; training may still be going on.

        Args:
            run: The run's folder.
            rows: How many batches and how many epochs to keep at most, at least 10; by default
                all. Memory is then bounded, however long the run. Each stretch of the run keeps
                its first row and those with the lowest and the highest loss.

        Returns:
            The history, without rows that are void because training went back; see
            ``Recorder.resume``. Lines that can't be read are left out with a ``RecorderWarning``,
            and so are findings, a plan or a schedule.

        Raises:
            RecorderError: There is no record in the folder, or it can't be read.

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
        most = None if rows is None else whole(rows, "rows", RecorderError, at_least=_FEWEST)
        kept = {kind: Columns() if most is None else Thinner(most) for kind in ("batch", "epoch")}
        for row in read_rows(run):
            kept[row.kind].add(row.columns, row.values)
        return cls(
            kept["batch"].finish(),
            kept["epoch"].finish(),
            run.resolve().name,
            finding=read_data(run, FINDING),
            plan=read_data(run, PLAN),
            schedule=read_data(run, SCHEDULE),
            found_rates=read_data(run, FOUND_RATES),
            events=tuple(read_events(run)),
            setup=read_data(run, SETUP),
        )

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the metrics of batches and epochs, without those of the validation."""
        measured = (
            name.removeprefix(VALIDATION)
            for name in (*self.batch, *self.epoch)
            if not name.startswith((RATES, RATIOS))
        )
        return tuple(dict.fromkeys(name for name in measured if name not in NO_METRICS))

    @property
    def rates(self) -> dict[str, npt.NDArray[Any]]:
        """The learning rate of each group over the batches, by the group's name."""
        return _with_prefix(RATES, self.batch)

    @property
    def ratios(self) -> dict[str, npt.NDArray[Any]]:
        """The update-to-weight ratio of each layer by its name; nan where it was not recorded."""
        return _with_prefix(RATIOS, self.batch)

    def to_pandas(self, kind: Kind = "batch") -> "pd.DataFrame":
        """Turn the batches, or the epochs, into a data frame of pandas.

        Args:
            kind: ``"batch"`` or ``"epoch"``.

        Raises:
            RecorderError: There is no such kind.

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
        """Write the batches, or the epochs, as a table whose first line has the names.

        Args:
            path: The file. Its numbers are read back exactly; a field is empty where a row has no
                value.
            kind: ``"batch"`` or ``"epoch"``.

        Raises:
            RecorderError: There is no such kind, or the file can't be written.

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
        r"""Read a history of batches from a table that ``to_csv`` wrote, or from your own.

        Args:
            path: The file: a line of names, then lines of numbers. An empty field is nan.

        Returns:
            The history, named like the file.

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

    def _columns(self, kind: str) -> Mapping[str, Column]:
        choice(kind, "kind", RecorderError, ("batch", "epoch"))
        return self.epoch if kind == "epoch" else self.batch

    def _repr_html_(self) -> str:
        """The loss and the last values, for notebooks."""
        return _show.history_html(self)

    def __repr__(self) -> str:
        name = f" {self.name!r}" if self.name else ""
        parts = [counted(_length(self.batch), "batch", "batches")]
        parts.append(counted(_length(self.epoch), "epoch"))
        loss = self.batch.get("loss", self.epoch.get("loss"))
        loss = None if loss is None else loss[has_value(loss)]
        if loss is not None and len(loss):
            parts.append(f"loss {number_text(loss[0])} to {number_text(loss[-1])}")
        if self.rates:
            parts.append(counted(len(self.rates), "group"))
        return f"<History{name}: {', '.join(parts)}>"


def _checked(columns: Mapping[str, npt.ArrayLike], kind: str) -> Mapping[str, Column]:
    checked = {}
    for name, values in columns.items():
        try:
            column = np.array(values)
            if column.dtype.kind not in "iubfOU":  # no complex numbers, and no dates
                raise TypeError
            column = column if np.issubdtype(column.dtype, np.integer) else column.astype(float)
        except (TypeError, ValueError, OverflowError):
            raise RecorderError(f"The {kind} column {name!r} must hold numbers only.") from None
        if name in (STEP, EPOCH) and column.dtype.kind == "f" and (abs(column) > MOST_STEPS).any():
            raise RecorderError(f"The {kind} column {name!r} must hold no number above 2**53.")
        if column.ndim != 1:
            raise RecorderError(
                f"The {kind} column {name!r} must have one axis, got the shape {column.shape}."
            )
        column.flags.writeable = False
        checked[str(name)] = column
    lengths = {name: len(column) for name, column in checked.items()}
    if len(set(lengths.values())) > 1:
        raise RecorderError(f"The {kind} columns must have one length, got {lengths}.")
    return MappingProxyType(checked)


def _with_prefix(prefix: str, columns: Mapping[str, Column]) -> dict[str, npt.NDArray[Any]]:
    return {
        name.removeprefix(prefix): column
        for name, column in columns.items()
        if name.startswith(prefix)
    }


def _length(columns: Mapping[str, Column]) -> int:
    return len(next(iter(columns.values()), ()))
