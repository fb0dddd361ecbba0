"""The command `layerwise`."""

import json
from pathlib import Path
from typing import Annotated

from layerwise import __version__
from layerwise.demo import Backend, Settings, compare, progress, sentence, table, use_backend
from layerwise.errors import LayerwiseError

try:
    import typer
    from rich.console import Console
except ModuleNotFoundError as error:
    raise SystemExit(
        f'The command layerwise needs {error.name}: pip install "layerwise[cli]"'
    ) from error

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    epilog="Example: layerwise demo --backend torch",
)

STDOUT = Path("-")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"layerwise {__version__}")
        raise typer.Exit


# With a callback, subcommands stay subcommands even while there is only one.
@app.callback()
def layerwise(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """A learning rate for every layer."""


def _writable(path: Path | None) -> Path | None:
    """Refuse a file that can't be written before minutes of training, not after."""
    if path is not None and path != STDOUT and not path.parent.is_dir():
        raise typer.BadParameter(f"There is no folder {path.parent}.")
    return path


@app.command(epilog="Example: layerwise demo --backend torch --seeds 5 --json results.json")
def demo(
    backend: Annotated[
        Backend, typer.Option(help="What trains: Keras on it, or it alone.")
    ] = Backend.JAX,
    seeds: Annotated[int, typer.Option(min=1, help="How many draws of few labels.")] = (
        Settings.seeds
    ),
    steps: Annotated[int, typer.Option(min=1, help="Updates in each fine-tuning.")] = (
        Settings.steps
    ),
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json",
            metavar="FILE",
            allow_dash=True,
            dir_okay=False,
            writable=True,
            callback=_writable,
            help="Write what was measured as JSON; - is stdout, instead of the table.",
        ),
    ] = None,
) -> None:
    """Fine-tune with few labels in four ways, and compare.

    A small network learns MNIST, gets a new head, and is fine-tuned on the UCI digits with ten
    labelled images of each class: with a single rate, with a frozen backbone, with layer-wise
    rates, and from scratch.
    """
    settings = Settings(seeds=seeds, steps=steps)
    try:
        framework = use_backend(backend)
        with progress(settings, Console(stderr=True)) as advance:
            measured = compare(framework, settings, advance)
    except LayerwiseError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from error
    text = json.dumps(measured.to_dict(), indent=2, allow_nan=False)
    if json_file == STDOUT:
        typer.echo(text)
        return
    if json_file is not None:
        json_file.write_text(f"{text}\n", encoding="utf-8")
    console = Console()
    for part in (measured.plan, table(measured), sentence(measured)):
        console.print(part, "", sep="\n", highlight=False)


if __name__ == "__main__":
    app()
