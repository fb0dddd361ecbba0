"""``layerwise demo``: the main job on real data."""

import json
from pathlib import Path
from typing import Annotated

import typer

from layerwise._files import written_whole
from layerwise._text import name_text
from layerwise.cli._ending import errors_on_one_line, say, show
from layerwise.cli._files import STDIO, asked, one_of, writable
from layerwise.errors import LayerwiseError


def _backend(name: str) -> str:
    from layerwise.demo import Backend

    return one_of(name, [backend.value for backend in Backend])


def _folder(path: Path) -> Path:
    if asked(path, Path.exists) and not asked(path, Path.is_dir):
        raise typer.BadParameter(f"must be a folder, got the file {name_text(str(path))}.")
    return path


def demo(
    backend: Annotated[
        str,
        typer.Option(
            callback=_backend,
            metavar="NAME",
            help="What to train with: Keras on jax, tensorflow or torch; or torch-native or optax.",
        ),
    ] = "jax",
    seeds: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="How often to draw the few labels.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Updates in each fine-tuning.")
    ] = None,
    runs: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER",
            callback=_folder,
            help="Where to make a new folder for records, pictures and the report.",
        ),
    ] = Path("runs"),
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json",
            metavar="FILE",
            allow_dash=True,
            dir_okay=False,
            writable=True,
            callback=writable,
            help="Write the results as JSON; - writes them to stdout, instead of the table.",
        ),
    ] = None,
) -> None:
    """Fine-tune with few labels in five ways, and compare them.

    A small network learns MNIST, gets a new head, and is fine-tuned on the UCI digits with ten
    labelled images of each class: with a single rate, with a frozen backbone, with layer-wise
    rates, with rates that are found, and from scratch. Each draw of the labels has a search of its
    own for the rates of each way. Records, pictures and a report go into a run folder.
    """
    from rich.console import Console

    from layerwise.demo import (
        Backend,
        Settings,
        compare,
        finding_text,
        new_folder,
        progress,
        save_pictures,
        use_backend,
        verdict,
        ways_table,
    )
    from layerwise.report import write_report

    settings = Settings(seeds=seeds or Settings.seeds, steps=steps or Settings.steps)
    with errors_on_one_line():
        framework = use_backend(Backend(backend))
        folder = new_folder(runs, f"demo-{framework.name}")
        with progress(settings, Console(stderr=True)) as advance:
            measured = compare(framework, settings, advance, folder)
        save_pictures(measured, folder)
        report = write_report([folder / result.way.folder for result in measured.results], folder)
    text = json.dumps(measured.to_dict(), indent=2, allow_nan=False)
    if json_file == STDIO:
        typer.echo(text)
        return
    if json_file is not None:
        with (
            errors_on_one_line(),
            written_whole(json_file, "The results", LayerwiseError) as file,
        ):
            file.write(f"{text}\n".encode())
    for part in (
        measured.plan,
        finding_text(measured),
        measured.found,
        ways_table(measured),
        verdict(measured),
    ):
        show(part)
        typer.echo()
    say(f"Records and pictures: {folder}\nReport: {report}")
