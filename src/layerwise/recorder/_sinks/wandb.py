"""A sink that writes to Weights & Biases."""

from typing import Any

from layerwise.errors import RecorderError


class WeightsAndBiases:
    """Writes the rows to Weights & Biases, by default offline.

    Weights & Biases drops a row whose step is lower than the last. When training goes back to a
    checkpoint, it shows the rows only from the first step that is new.

    Args:
        mode: ``"offline"`` writes files for ``wandb sync``; ``"online"`` needs an account.
        **options: Passed on to ``wandb.init``, such as ``project``, ``name`` and ``dir``.

    Raises:
        RecorderError: wandb is not installed.

    Examples:
        >>> from layerwise.recorder import Recorder, WeightsAndBiases
        >>> sink = WeightsAndBiases(project="digits", dir="runs/a")  # doctest: +SKIP
        >>> with Recorder("runs/a", sinks=[sink]) as recorder:  # doctest: +SKIP
        ...     recorder.log(step=0, loss=2.5)
    """

    def __init__(self, *, mode: str = "offline", **options: object) -> None:
        try:
            import wandb
        except ModuleNotFoundError as error:
            raise RecorderError(
                'Weights & Biases needs wandb: pip install "layerwise[wandb]".'
            ) from error
        # A new run, so that one that the script has open already stays as it is.
        self._settings: dict[str, Any] = {"mode": mode, "reinit": "create_new", **options}
        self._begin = wandb.init
        self._run: Any = self._begin(**self._settings)

    def write(self, step: int, values: dict[str, float]) -> None:
        """Log one row; after ``close``, the same run goes on, offline in a new folder."""
        if self._run is None:
            self._run = self._begin(**self._settings, resume="allow")
        self._run.log(values, step=step)

    def close(self) -> None:
        """Finish the run."""
        if self._run is not None:
            self._settings["id"] = self._run.id
            self._run.finish()
            self._run = None
