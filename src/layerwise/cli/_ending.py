"""What a subcommand says, and how it fails: with one line on stderr."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from layerwise._text import MOST_OF_A_MESSAGE, name_text, printable, table_text
from layerwise.errors import LayerwiseError

# Click's own class of what it refuses; Typer may have a Click of its own.
_Refusal: Any = typer.BadParameter.__mro__[2]
_WIDE = 160  # characters of a line, where no terminal has a width


@contextmanager
def errors_on_one_line() -> Iterator[None]:
    """Turn an error in the block into one line, without a traceback."""
    try:
        yield
    except OSError as error:
        place = f"{name_text(str(error.filename))}: " if error.filename else ""
        _end(f"{place}{error.strerror or error}", error)
    except LayerwiseError as error:
        _end(_sentences(str(error)), error)
    except ModuleNotFoundError as error:
        _end(str(error), error)
    except RecursionError as error:
        _end("What the files hold is nested too deeply.", error)
    except MemoryError as error:
        _end("What the files hold does not fit into memory.", error)
    except (_Refusal, typer.Exit, typer.Abort):
        raise
    except Exception as error:  # of a framework, or of a model's own code
        _end(f"{type(error).__name__}: {error}", error)


def show(what: object) -> None:
    """Print a table or a text, in a file or a pipe without spaces that fill a terminal's line."""
    from rich.console import Console

    console = Console()
    if console.is_terminal:
        console.print(what, highlight=False, crop=False)
        return
    columns = os.environ.get("COLUMNS", "")
    typer.echo(table_text(what, (int(columns) if columns.isdecimal() else 0) or _WIDE))


class OneLineErrors(TyperGroup):
    """Commands whose errors of usage are one line too, with exit status 2."""

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> object:
        """Run the command that the arguments name."""
        if not standalone_mode:
            return super().main(*args, **(extra | {"standalone_mode": False}))
        _write_everything()
        try:
            status = super().main(*args, **(extra | {"standalone_mode": False}))
        except _Refusal as error:
            if type(error).__name__ == "NoArgsIsHelpError":
                error.show()
                sys.exit(error.exit_code)
            asked = getattr(error, "ctx", None)
            hint = "" if asked is None else f" See {asked.command_path} --help."
            text = name_text(" ".join(error.format_message().split()), MOST_OF_A_MESSAGE)
            ended = text if text[-1:] in {*".!?"} else f"{text}."
            typer.echo(f"Error: {ended}{hint}", err=True)
            sys.exit(error.exit_code)
        except typer.Abort:
            typer.echo("Error: Stopped.", err=True)
            sys.exit(1)
        sys.exit(status if isinstance(status, int) else 0)


def _write_everything() -> None:
    """Write UTF-8 into files and pipes, on Windows too; in a terminal the escape of what it lacks.

    Python writes into them in the encoding of the system, which may have no rule for a table.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            encoding = None if stream.isatty() else "utf-8"
            stream.reconfigure(encoding=encoding, errors="backslashreplace")


def say(text: object, *, err: bool = False) -> None:
    """Print a text, in which names of others may stand."""
    typer.echo(printable(str(text), keep="\n"), err=err)


def _sentences(text: str) -> str:
    """Lines as sentences side by side: one that is a list of names gets its full stop."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    ended = [line if line[-1] in ".:;,!?" else f"{line}." for line in lines[:-1]]
    return " ".join([*ended, *lines[-1:]])


def _end(text: str, error: Exception) -> None:
    typer.echo(f"Error: {name_text(' '.join(text.split()), MOST_OF_A_MESSAGE)}", err=True)
    raise typer.Exit(1) from error
