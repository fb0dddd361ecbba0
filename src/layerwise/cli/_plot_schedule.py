"""``layerwise plot-schedule``: a picture of a schedule."""

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer

from layerwise.cli._ending import errors_on_one_line, say
from layerwise.cli._files import asked, input_argument, picture_option, read_json
from layerwise.errors import ConfigError
from layerwise.schedules import Schedule


def plot_schedule(
    config: Annotated[
        Path,
        input_argument("A schedule as JSON, as Schedule.to_config() gives it; - reads stdin."),
    ],
    steps: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="How many steps; by default the length of the schedule."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        picture_option("The picture, .png, .svg or .pdf; by default named like CONFIG."),
    ] = None,
    transparent: Annotated[
        bool, typer.Option("--transparent", help="Transparent, for pages in light and dark style.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the values as JSON; a picture only with -o.")
    ] = False,
) -> None:
    """Draw a schedule from its JSON, and print where the picture is."""
    with errors_on_one_line():
        schedule = schedule_in(read_json(config))
        if as_json:
            typer.echo(json.dumps(_values(schedule, steps), allow_nan=False))
        if output is None and as_json:
            return
        made = output or Path(f"{config.stem if asked(config, Path.is_file) else 'schedule'}.png")
        _draw(schedule, steps, made, transparent)
        say(made, err=as_json)


def schedule_in(data: Any) -> Schedule:
    """The schedule in a config, or in what a recorder saved, of which the config is a part."""
    if isinstance(data, dict) and data.get("layerwise") == "schedule":
        data = data.get("config")
        if data is None:
            raise ConfigError("This schedule has a function of yours, which no file can hold.")
    return Schedule.from_config(data)


def _values(schedule: Schedule, steps: int | None) -> dict[str, object]:
    from layerwise.plots._schedule import evaluated

    at, values = evaluated(schedule, steps)
    counted = {"counted": "".join(schedule.counters)} if schedule.counters else {}
    return {
        "schedule": repr(schedule),
        **counted,
        "steps": at.tolist(),
        "values": [value if math.isfinite(value) else None for value in values.tolist()],
    }


def _draw(schedule: Schedule, steps: int | None, path: Path, transparent: bool) -> None:
    from layerwise import plots

    plots.save(path, lambda ax: plots.schedule(schedule, steps, ax=ax), transparent=transparent)
