"""The application: its subcommands, each with an example."""

from typing import Annotated

import typer

from layerwise import __version__
from layerwise.cli._demo import demo
from layerwise.cli._ending import OneLineErrors
from layerwise.cli._explain import explain
from layerwise.cli._find import find
from layerwise.cli._plot_schedule import plot_schedule
from layerwise.cli._report import report

app = typer.Typer(
    cls=OneLineErrors,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # Rich's help would take a tenth of a second longer.
    rich_markup_mode=None,
    epilog="Example: layerwise demo --backend torch",
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"layerwise {__version__}")
        raise typer.Exit


@app.callback()
def layerwise(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """A learning rate for every layer."""


app.command(
    short_help="Fine-tune with few labels in five ways, and compare them.",
    epilog="Example: layerwise demo --backend torch --seeds 5 --json results.json",
)(demo)
app.command(
    short_help="Show which parameter of a model gets which rate.",
    epilog="Example: layerwise explain model.keras rules.json --steps 0,1000",
)(explain)
app.command(
    short_help="Find a learning rate for a model.",
    epilog="Example: layerwise find model.keras data.npz --rates rules.json",
)(find)
app.command(
    short_help="Draw a schedule from its JSON.",
    epilog="Example: layerwise plot-schedule schedule.json -o schedule.png",
)(plot_schedule)
app.command(
    short_help="Write one HTML page that compares runs.",
    epilog="Example: layerwise report runs/single runs/layerwise -o report.html",
)(report)
