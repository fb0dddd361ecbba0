"""A sink that writes to MLflow."""

import importlib
import re
import time
from typing import Any

from layerwise.errors import RecorderError
from layerwise.recorder._sinks.names import Names, as_text

_NUMBERS, _TAGS = 1000, 100
"""As many numbers and tags as MLflow takes in one call."""

_LONGEST = 200
"""Bytes in a name. MLflow takes 250 characters, but keeps each name as a file's in a folder."""

_DATABASES = ("sqlite", "mysql", "postgresql", "mssql")

_TAG = "layerwise.column."
"""Before the name of a metric: the tag that has the name of its column, if that is another."""


class MLflow:
    """Writes the rows to a run of MLflow, a thousand numbers at a time.

    MLflow allows letters, digits and ``_-./ :`` in names. Another character becomes ``_``, and
    columns that would then have one name are numbered; a tag of the run has the column's own name.
    Databases keep an infinity as the largest number.

    Args:
        experiment: The experiment's name; it is made if it does not exist.
        name: The run's name.
        tracking_uri: Where MLflow keeps its runs: ``"sqlite:///mlflow.db"``, a server, or a
            folder, which MLflow 3 takes only if ``MLFLOW_ALLOW_FILE_STORE=true`` is set. By
            default, MLflow's own setting.
        run_id: The run to go on with, such as ``sink.run_id`` of the process before; a new one by
            default.

    Raises:
        RecorderError: MLflow, or what it needs for a database, is not installed.
        mlflow.exceptions.MlflowException: MLflow can't use ``tracking_uri``, or has no such run.

    Examples:
        >>> from layerwise.recorder import MLflow, Recorder
        >>> sink = MLflow("digits", name="a")  # doctest: +SKIP
        >>> with Recorder("runs/a", sinks=[sink]) as recorder:  # doctest: +SKIP
        ...     recorder.log(step=0, loss=2.5)
    """

    def __init__(
        self,
        experiment: str = "layerwise",
        *,
        name: str | None = None,
        tracking_uri: str | None = None,
        run_id: str | None = None,
    ) -> None:
        self._names = Names(_clean, most=_LONGEST, files=True)
        self._waiting: list[Any] = []
        self._tags: list[Any] = []
        self._time = 0
        self._running = True
        try:
            from mlflow import MlflowClient, get_tracking_uri
            from mlflow.entities import Metric, RunTag

            if (tracking_uri or get_tracking_uri()).startswith(_DATABASES):
                for module in ("sqlalchemy", "alembic"):
                    importlib.import_module(module)
            self._metric, self._tag = Metric, RunTag
            self._client = MlflowClient(tracking_uri=tracking_uri)
            self.run_id: str = self._new_run(experiment, name) if run_id is None else run_id
        except ModuleNotFoundError as error:
            raise RecorderError(
                f'MLflow needs {error.name}: pip install "layerwise[mlflow]".'
            ) from error
        if run_id is not None:
            self._take_up()

    def _new_run(self, experiment: str, name: str | None) -> str:
        found = self._client.get_experiment_by_name(experiment)
        number = (
            self._client.create_experiment(experiment) if found is None else found.experiment_id
        )
        return str(self._client.create_run(number, run_name=name).info.run_id)

    def _take_up(self) -> None:
        """Go on with a run, under the names that its columns have."""
        run = self._client.get_run(self.run_id)
        self._client.update_run(self.run_id, status="RUNNING")
        renamed = {
            key.removeprefix(_TAG): column
            for key, column in run.data.tags.items()
            if key.startswith(_TAG)
        }
        for name in run.data.metrics:
            self._names.keep(renamed.get(name, name), name)

    def write(self, step: int, values: dict[str, float]) -> None:
        """Take one row, and send the numbers that wait once they are a thousand."""
        if not self._running:
            self._client.update_run(self.run_id, status="RUNNING")
            self._running = True
        # Two rows of one step in one millisecond would be one to MLflow.
        self._time = max(self._time + 1, int(time.time() * 1000))
        for column, value in values.items():
            self._waiting.append(self._metric(self._name(column), value, self._time, step))
        while len(self._waiting) >= _NUMBERS:
            self._send()

    def _name(self, column: str) -> str:
        text = tag_text(column)
        known = text in self._names
        name = self._names.of(text)
        if not known and name != text:
            self._tags.append(self._tag(_TAG + name, text))
        return name

    def close(self) -> None:
        """Send the rest, and end the run."""
        while self._waiting or self._tags:
            self._send()
        self._client.set_terminated(self.run_id)
        self._running = False

    def abort(self) -> None:
        """End the run as one that failed."""
        self._waiting, self._tags = [], []
        self._client.set_terminated(self.run_id, status="FAILED")
        self._running = False

    def _send(self) -> None:
        tags = self._tags[:_TAGS]
        numbers = self._waiting[: _NUMBERS - len(tags)]
        self._client.log_batch(self.run_id, metrics=numbers, tags=tags)
        del self._waiting[: len(numbers)]
        del self._tags[: len(tags)]


def tag_text(column: str) -> str:
    """A column's name as text that differs for any two, even those that can't be encoded."""
    return column.replace("\\", "\\\\").encode("utf-8", "backslashreplace").decode()


def _clean(column: str) -> str:
    """A column's name in the characters that MLflow allows, as a path that it takes."""
    text = re.sub(r"[^\w\-./ :]", "_", as_text(column))
    parts = ["_" * len(part) if part in (".", "..") else part for part in text.split("/")]
    return "/".join(filter(None, parts)) or "_"
