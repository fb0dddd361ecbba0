"""A sink that writes to Weights & Biases."""

from typing import Any

from layerwise.errors import RecorderError
from layerwise.recorder._format import STEP
from layerwise.recorder._sinks.names import Names, as_text


class WeightsAndBiases:
    """Writes the rows to Weights & Biases, by default offline.

    Curves are drawn over the column ``step``. Weights & Biases has a count of its own, which only
    rises, and keeps one row for each number: it is the step for as long as steps rise, and one
    more than before for a further row of a step, or when training goes back to a checkpoint.

    Args:
        mode: ``"offline"`` writes files for ``wandb sync``; ``"online"`` needs an account.
        **options: Passed on to ``wandb.init``, such as ``project``, ``name`` and ``dir``; ``id=``
            and ``resume="allow"`` go on in a run.

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
        self._names = Names(_clean)
        self._next = 0
        self._run: Any = self._new_run()

    def _new_run(self, **options: Any) -> Any:
        run = self._begin(**self._settings, **options)
        run.define_metric(STEP)
        run.define_metric("*", step_metric=STEP)
        self._next = max(self._next, run.step)
        return run

    def write(self, step: int, values: dict[str, float]) -> None:
        """Log one row; after ``close``, the same run goes on, offline in a new folder."""
        if self._run is None:
            self._run = self._new_run(resume="allow")
        row = {self._names.of(name): value for name, value in values.items()}
        number = max(step, self._next)
        self._run.log({STEP: step, **row}, step=number, commit=True)
        self._next = number + 1

    def close(self) -> None:
        """Finish the run."""
        self._finish(0)

    def abort(self) -> None:
        """Finish the run as one that failed."""
        self._finish(1)

    def _finish(self, code: int) -> None:
        run, self._run = self._run, None
        if run is not None:
            self._settings["id"] = run.id
            run.finish(exit_code=code)


def _clean(name: str) -> str:
    """A name that is not one of Weights & Biases' own, such as ``_step``."""
    text = as_text(name)
    return f"metric{text}" if text.startswith("_") else text
