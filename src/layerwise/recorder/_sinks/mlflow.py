"""A sink that writes to MLflow."""

import re
import time
from typing import Any

from layerwise.errors import RecorderError

_BATCH = 1000  # as many as MLflow takes in one call


class MLflow:
    """Writes the rows to a run of MLflow, a thousand numbers at a time.

    Args:
        experiment: The experiment's name; it is made if it does not exist.
        name: The run's name.
        tracking_uri: Where MLflow keeps its runs: ``"sqlite:///mlflow.db"``, a server, or a
            folder, which MLflow 3 takes only if ``MLFLOW_ALLOW_FILE_STORE=true`` is set. By
            default, MLflow's own setting.

    Raises:
        RecorderError: MLflow is not installed.
        mlflow.exceptions.MlflowException: MLflow can't use ``tracking_uri``.

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
    ) -> None:
        try:
            from mlflow import MlflowClient
        except ModuleNotFoundError as error:
            raise RecorderError('MLflow needs mlflow: pip install "layerwise[mlflow]".') from error
        self._client = MlflowClient(tracking_uri=tracking_uri)
        found = self._client.get_experiment_by_name(experiment)
        number = (
            self._client.create_experiment(experiment) if found is None else found.experiment_id
        )
        self.run_id: str = self._client.create_run(number, run_name=name).info.run_id
        self._waiting: list[Any] = []

    def write(self, step: int, values: dict[str, float]) -> None:
        """Take one row, and send a thousand numbers when so many wait."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._waiting += [Metric(_name(key), value, now, step) for key, value in values.items()]
        while len(self._waiting) >= _BATCH:
            self._send()

    def close(self) -> None:
        """Send the rest, and end the run."""
        while self._waiting:
            self._send()
        self._client.set_terminated(self.run_id)

    def _send(self) -> None:
        self._client.log_batch(self.run_id, metrics=self._waiting[:_BATCH])
        del self._waiting[:_BATCH]


def _name(column: str) -> str:
    """A column's name in the characters that MLflow allows."""
    return re.sub(r"[^\w\-./ :]", "_", column)
