"""``layerwise report``: one page that shows what runs did."""

from pathlib import Path
from typing import Annotated

import typer

from layerwise.cli._ending import errors_on_one_line, say
from layerwise.cli._files import writable


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            exists=True,
            file_okay=False,
            show_default=False,
            help="Folders written by a Recorder.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            callback=writable,
            help="The page; by default report.html in the run's folder, or here for several runs.",
        ),
    ] = None,
) -> None:
    """Write one HTML page that shows and compares what runs did, and print where it is.

    The page needs no network and opens in any browser.
    """
    with errors_on_one_line():
        from layerwise.report import write_report

        target = output or (runs[0] if len(runs) == 1 else Path("report.html"))
        say(write_report(runs, target))
