"""layerwise find: a base rate for a saved model on saved data."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from layerwise.cli._ending import errors_on_one_line
from layerwise.cli._files import picture, readable, save_figure
from layerwise.cli._models import BACKENDS, keras_backend, keras_model
from layerwise.errors import FinderError


def find(
    model: Annotated[
        Path, typer.Argument(callback=readable, show_default=False, help="A compiled .keras model.")
    ],
    data: Annotated[
        Path,
        typer.Argument(
            callback=readable,
            show_default=False,
            help="An .npz file with the arrays x and y, and sample_weight if there are weights.",
        ),
    ],
    *,
    batch_size: Annotated[int, typer.Option(min=1, metavar="N", help="Samples in a batch.")] = 32,
    low: Annotated[float, typer.Option(metavar="RATE", help="The first rate.")] = 1e-7,
    high: Annotated[float, typer.Option(metavar="RATE", help="The last rate.")] = 10.0,
    steps: Annotated[int, typer.Option(metavar="N", help="Updates of the sweep.")] = 100,
    horizon: Annotated[
        int | None, typer.Option(metavar="N", help="How many updates you are going to train.")
    ] = None,
    method: Annotated[
        str, typer.Option(metavar="NAME", help="probe, or sweep for its curve alone.")
    ] = "probe",
    backend: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            callback=keras_backend,
            help=f"What Keras runs on, {', '.join(BACKENDS)}; by default $KERAS_BACKEND or jax.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            dir_okay=False,
            callback=picture,
            help="A picture of the curve, .png, .svg or .pdf.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all of the result as JSON.")] = (
        False
    ),
) -> None:
    """Find the learning rate to train a compiled Keras model with; the model stays as it is.

    Ends with 1 if there is no honest answer.
    """
    with errors_on_one_line():
        arrays = _arrays(data)
        loaded = keras_model(model, backend)
        from layerwise.keras import find_lr

        found = find_lr(
            loaded,
            **arrays,
            batch_size=batch_size,
            low=low,
            high=high,
            steps=steps,
            horizon=horizon,
            method=method,  # type: ignore[arg-type]  # find_lr checks it
        )
        if output is not None:
            save_figure(output, lambda ax: found.plot(ax=ax))
    typer.echo(json.dumps(found.to_config(), allow_nan=False) if as_json else found)
    if found.suggestion is None:
        raise typer.Exit(1)


def _arrays(path: Path) -> dict[str, Any]:
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (ValueError, AttributeError, EOFError) as error:
        raise FinderError(
            f"{path.name} is damaged or no .npz file: np.savez(path, x=x, y=y) writes one."
        ) from error
    missing = {"x", "y"} - set(arrays)
    unknown = set(arrays) - {"x", "y", "sample_weight"}
    if missing or unknown:
        raise FinderError(
            f"{path.name} has the arrays {', '.join(sorted(arrays)) or 'none'}; it has to have x "
            "and y, and may have sample_weight."
        )
    return arrays
