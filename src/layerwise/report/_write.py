"""``write_report``: makes one HTML file of runs."""

import os
from collections.abc import Iterable
from pathlib import Path

from layerwise._files import written_whole
from layerwise.errors import RecorderError
from layerwise.recorder import History
from layerwise.report._page import page
from layerwise.report._run import load_runs


def write_report(
    runs: str | Path | History | Iterable[str | Path | History], path: str | Path
) -> Path:
    """Write one HTML page that shows and compares what runs did.

    It shows the loss and the metrics, the finder's curve, the rates of groups and layers over
    time, and the update-to-weight ratios, where they were recorded, and the numbers behind
    every picture. The page is a single file that needs no network. Long runs are thinned, but the
    lowest and the highest value of every stretch stay.

    Args:
        runs: A run's folder, a ``layerwise.recorder.History``, or several of them.
        path: The file to write, or an existing folder, in which it is called ``report.html``.

    Returns:
        The path of the page.

    Raises:
        RecorderError: There are no runs, a folder has no record, Plotly or Jinja2 is missing, or
            the page can't be written. No file is left half written.

    Examples:
        >>> import tempfile
        >>> from layerwise.recorder import Recorder
        >>> run = tempfile.mkdtemp()
        >>> with Recorder(run) as recorder:
        ...     for step in range(100):
        ...         recorder.log(step=step, loss=1 / (step + 1), rate=1e-3)
        >>> write_report(run, run).name
        'report.html'
    """
    loaded = load_runs(runs)
    if not loaded:
        raise RecorderError("There are no runs to report on. Give at least one run's folder.")
    target = Path(path)
    if os.path.isdir(target):  # noqa: PTH112  # no error where a name is too long
        target /= "report.html"
    # A name may have half a character, which no encoding writes: its escape stands there.
    text = page(loaded).encode("utf-8", "backslashreplace")
    with written_whole(target, "The report", RecorderError) as file:
        file.write(text)
    return target
