"""How a subcommand fails: with one line on stderr, and with exit status 1."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from layerwise.errors import LayerwiseError


@contextmanager
def errors_on_one_line() -> Iterator[None]:
    """Turn an error in the block into one line, without a traceback."""
    try:
        yield
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _end(f"{place}{error.strerror or error}", error)
    except (LayerwiseError, ModuleNotFoundError) as error:
        _end(str(error), error)


def _end(text: str, error: Exception) -> None:
    typer.echo(f"Error: {' '.join(text.split())}", err=True)
    raise typer.Exit(1) from error
