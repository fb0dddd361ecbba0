"""What a subcommand says, and how it fails: with one line on stderr, and with exit status 1."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from layerwise._text import MOST_OF_A_MESSAGE, name_text, printable
from layerwise.errors import LayerwiseError


@contextmanager
def errors_on_one_line() -> Iterator[None]:
    """Turn an error in the block into one line, without a traceback."""
    try:
        yield
    except OSError as error:
        place = f"{name_text(str(error.filename))}: " if error.filename else ""
        _end(f"{place}{error.strerror or error}", error)
    except (LayerwiseError, ModuleNotFoundError) as error:
        _end(str(error), error)
    except RecursionError as error:
        _end("What the files hold is nested too deeply.", error)
    except MemoryError as error:
        _end("What the files hold does not fit into memory.", error)


def say(text: object, *, err: bool = False) -> None:
    """Print a text, in which names of others may stand."""
    typer.echo(printable(str(text), keep="\n"), err=err)


def _end(text: str, error: Exception) -> None:
    typer.echo(f"Error: {name_text(' '.join(text.split()), MOST_OF_A_MESSAGE)}", err=True)
    raise typer.Exit(1) from error
