"""``layerwise report``: one page that shows what runs did."""

from pathlib import Path
from typing import Annotated

import typer

from layerwise._text import name_text
from layerwise.cli._ending import errors_on_one_line, say
from layerwise.cli._files import STDIO, asked, writable


def _folders(runs: list[Path]) -> list[Path]:
    for run in runs:
        if not asked(run, Path.is_dir):
            raise typer.BadParameter(f"There is no folder {name_text(str(run))}.")
    return runs


def _page(path: Path | None) -> Path | None:
    if path == STDIO:
        raise typer.BadParameter("must be a file or a folder, got -. A page is not printed.")
    return writable(path)


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN",
            callback=_folders,
            show_default=False,
            help="Folders written by a Recorder.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE|FOLDER",
            callback=_page,
            help="The page, or a folder for report.html; by default the run's folder, or this one "
            "for several runs.",
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
