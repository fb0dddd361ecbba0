"""``layerwise find``: a base rate for a saved model on saved data, or a rate for every band."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import typer

from layerwise._files import written_whole
from layerwise._text import name_text
from layerwise.cli._ending import errors_on_one_line, say
from layerwise.cli._files import (
    STDIO,
    asked,
    input_argument,
    is_file,
    picture_option,
    read_json,
    writable,
)
from layerwise.cli._models.made import MadeModel, is_made, model_of, model_source
from layerwise.cli._models.saved import KerasBackend, choose_backend, keras_model
from layerwise.cli._models.torch_training import batches_of, loss_of, optimizer_of
from layerwise.cli._plot_schedule import schedule_in
from layerwise.errors import FinderError, LayerwiseError
from layerwise.finder import Course, LRFinding, RatesFinding

if TYPE_CHECKING:
    import keras

Arrays: TypeAlias = dict[str, npt.NDArray[np.generic]]


def find(
    context: typer.Context,
    model: Annotated[
        Path,
        input_argument(
            "A compiled .keras model; a Hugging Face folder; or module:factory, a function that "
            "makes a model, or (model, optimizer, loss).",
            model_source,
        ),
    ],
    data: Annotated[
        Path,
        input_argument(
            "An .npz file with the arrays x and y, and perhaps sample_weight; or with the "
            "arguments of a PyTorch model, such as input_ids and labels."
        ),
    ],
    *,
    batch_size: Annotated[int, typer.Option(min=1, metavar="N", help="Samples in a batch.")] = 32,
    low: Annotated[float, typer.Option(metavar="RATE", help="The first rate.")] = 1e-7,
    high: Annotated[float, typer.Option(metavar="RATE", help="The last rate.")] = 10.0,
    steps: Annotated[int, typer.Option(metavar="N", help="Updates of the sweep.")] = 100,
    horizon: Annotated[
        int | None, typer.Option(metavar="N", help="How many updates the training will have.")
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="How its rate will go: falling, constant, or a schedule as JSON; by default as "
            "the model's optimizer says.",
        ),
    ] = None,
    rates: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            dir_okay=False,
            callback=writable,
            help="Find a rate for every band of layers, and write the rules into this JSON file.",
        ),
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option(metavar="N", help="With --rates: the most updates that the search may take."),
    ] = None,
    method: Annotated[
        str, typer.Option(metavar="NAME", help="probe; or sweep, for the curve alone.")
    ] = "probe",
    optimizer: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="For PyTorch: a class of torch.optim; by default AdamW."),
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="For PyTorch: a function of torch.nn.functional; by default the model's own.",
        ),
    ] = None,
    backend: KerasBackend = None,
    output: Annotated[
        Path | None,
        picture_option("Draw the curve, or the bands, into this file, .png, .svg or .pdf."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole result as JSON.")] = (
        False
    ),
) -> None:
    """Find a learning rate for a model, which stays as it is.

    With --rates, find one for every band of its layers. The exit status is 1 if no rate can
    honestly be suggested.
    """
    with errors_on_one_line():
        _check_options(context, rates is not None)
        _check_rules_file(rates, model, data, schedule)
        arrays, course = _arrays(data), _course(schedule)
        made = _model(model, backend)
        search: dict[str, Any] = {
            "low": low,
            "high": high,
            "horizon": horizon,
            "schedule": course,
        }
        if made.is_keras:
            _check_keras(optimizer, loss, made.name, data.name, arrays)
        with _misfits(model, data, made.model, arrays):
            if made.is_keras:
                search |= {"batch_size": batch_size, **arrays}
                parts: tuple[Any, ...] = (made.model,)
            else:
                used, scored = optimizer_of(made, optimizer), loss_of(made, loss)
                parts = (made.model, used, scored, batches_of(made, arrays, batch_size))
            found: LRFinding | RatesFinding
            if rates is None:
                found = _search(made, "find_lr")(*parts, **search, steps=steps, method=method)
            else:
                found = _search(made, "find_rates")(*parts, **search, budget=budget)
        if output is not None:
            from layerwise.plots import save

            save(output, found.plot)
        if rates is not None and isinstance(found, RatesFinding) and _answer(found) is not None:
            _write_rules(rates, found.rules)
    # Where the rules are on stdout, they are alone there.
    say(json.dumps(found.to_config(), allow_nan=False) if as_json else found, err=rates == STDIO)
    if _answer(found) is None:
        raise typer.Exit(1)


def _course(given: str | None) -> Course | None:
    """A name, which the search checks, or the schedule in a file."""
    if given is None or not is_file(Path(given)):
        return cast("Course | None", given)
    return schedule_in(read_json(Path(given)))


def _model(path: Path, backend: str | None) -> MadeModel:
    if not is_made(path):
        if path.suffix.lower() != ".keras":
            raise FinderError(
                f"{path.name} must be a .keras model to be trained: weights alone have no model "
                "and no loss. For PyTorch name what makes the model: module:factory."
            )
        return MadeModel(path.name, keras_model(path, backend))
    choose_backend(backend, needed=False)
    made = model_of(path, weights=True)
    if made.is_keras and made.optimizer is not None:
        raise FinderError(
            f"{made.name} must give a model of Keras alone, compiled with its optimizer and loss."
        )
    return made


def _search(made: MadeModel, name: str) -> Any:
    """``find_lr`` or ``find_rates`` of the model's framework."""
    return getattr(import_module(f"layerwise.{'keras' if made.is_keras else 'torch'}"), name)


def _check_keras(
    optimizer: str | None, loss: str | None, name: str, data: str, arrays: Arrays
) -> None:
    """Refuse what only a module of PyTorch takes."""
    for option, given in (("--optimizer", optimizer), ("--loss", loss)):
        if given is not None:
            raise FinderError(f"{option} must be left out: {name} was compiled with one.")
    unknown = set(arrays) - {"x", "y", "sample_weight"}
    if unknown or not {"x", "y"} <= set(arrays):
        raise FinderError(
            f"{data} must have the arrays x and y, and may have sample_weight, got "
            f"{name_text(', '.join(sorted(arrays))) or 'none'}."
        )


def _check_options(context: typer.Context, rates: bool) -> None:
    """Refuse options of the other search, which would do nothing."""
    others = {"steps": "--budget", "method": "--horizon"} if rates else {"budget": "--steps"}
    for name, instead in others.items():
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise FinderError(
                f"--{name} must {'not ' if rates else ''}stand with --rates: "
                f"{'a search for rates' if rates else 'a search for one rate'} takes {instead}."
            )


def _check_rules_file(rules: Path | None, model: Path, data: Path, schedule: str | None) -> None:
    """Refuse to write the rules over a file that the search reads."""
    if rules is None or rules == STDIO:
        return
    read = [model, data, *([] if schedule is None else [Path(schedule)])]
    replaced = next((path.name for path in read if asked(path, rules.samefile)), None)
    if asked(rules, Path.exists) and (rules.suffix == ".py" or model in rules.parents):
        replaced = rules.name  # a model's source, or a part of a model
    if replaced is not None:
        raise FinderError(
            f"--rates {name_text(str(rules))} would replace {name_text(replaced)}, which is read. "
            "Choose another file for the rules."
        )


def _answer(found: LRFinding | RatesFinding) -> float | None:
    return found.suggestion if isinstance(found, LRFinding) else found.learning_rate


def _write_rules(path: Path, rules: Mapping[str, float]) -> None:
    """Write the rules as ``explain`` and training take them; the base rate stands in the table."""
    text = json.dumps(dict(rules), indent=2, ensure_ascii=False, allow_nan=False)
    if path == STDIO:
        typer.echo(text)
        return
    with written_whole(path, "The rules", LayerwiseError) as file:
        file.write(f"{text}\n".encode("utf-8", "backslashreplace"))


@contextmanager
def _misfits(model: Path, data: Path, loaded: "keras.Model", arrays: Arrays) -> Iterator[None]:
    """Say in one sentence that the arrays don't fit the model, whatever its backend raises."""
    try:
        yield
    except (OSError, ModuleNotFoundError, MemoryError):
        raise
    except Exception as caught:
        # What find_lr says of batches is for who writes them; here they come from a file.
        error = caught.__cause__ if isinstance(caught, FinderError) else caught
        if not isinstance(error, Exception) or isinstance(error, LayerwiseError):
            raise
        shapes = ", ".join(f"{name} {array.shape} {array.dtype}" for name, array in arrays.items())
        takes = "."
        if hasattr(loaded, "input_shape") and hasattr(loaded, "output_shape"):  # Keras knows
            takes = (
                f"; the model takes {loaded.input_shape} and gives {loaded.output_shape}, the "
                "first number being the batch."
            )
        raise FinderError(
            f"{model.name} can't be trained on {data.name}: {_reason(error)} The file has "
            f"{shapes}{takes}"
        ) from error


def _reason(error: Exception) -> str:
    """The first line of a backend's error that says something, as a sentence."""
    lines = [line.strip() for line in str(error).replace("\x1b[1m", "").splitlines()]
    # Keras says first in which layer it was, and then what.
    said = [line for line in lines if line and not line.startswith("Exception encountered")]
    return said[0].removesuffix(".") + "." if said else f"{type(error).__name__}."


def _arrays(path: Path) -> Arrays:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (ValueError, AttributeError, EOFError) as error:
        raise FinderError(
            f"{path.name} is damaged or no .npz file. np.savez(path, x=x, y=y) writes one."
        ) from error
    if not arrays:
        raise FinderError(f"{path.name} must have the arrays x and y, got none.")
    return arrays
