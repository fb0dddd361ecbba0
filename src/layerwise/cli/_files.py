"""The files that a command reads and writes. Unusable ones are refused before any work."""

import json
import sys
from collections.abc import Callable, Collection
from pathlib import Path

import typer
from typer.models import ArgumentInfo, OptionInfo

from layerwise._text import name_text, shown
from layerwise.errors import ConfigError

STDIO = Path("-")
"""Stands for stdin or stdout."""


def readable(path: Path) -> Path:
    """Refuse a file that does not exist."""
    if path != STDIO and not is_file(path):
        raise typer.BadParameter(f"There is no file {name_text(str(path))}.")
    return path


def writable(path: Path | None) -> Path | None:
    """Refuse a file in a folder that does not exist."""
    if path is not None and path != STDIO and not asked(path.parent, Path.is_dir):
        raise typer.BadParameter(f"There is no folder {name_text(str(path.parent))}.")
    return path


def is_file(path: Path) -> bool:
    """Whether a path can be read as a file; the pipe of a shell's ``<(command)`` can."""
    return asked(path, Path.exists) and not asked(path, Path.is_dir)


def asked(path: Path, what: Callable[[Path], bool]) -> bool:
    """Whether a path is something; one that can't even be looked at is nothing."""
    try:
        return what(path)
    except (OSError, ValueError):
        return False


_SUFFIXES = (".png", ".svg", ".pdf")


def picture(path: Path | None) -> Path | None:
    """Refuse a picture of an unknown kind, or in a folder that does not exist."""
    if path is not None and path.suffix.lower() not in _SUFFIXES:
        raise typer.BadParameter(f"must end in {', '.join(_SUFFIXES)}, got {name_text(path.name)}.")
    return writable(path)


def input_argument(text: str, check: Callable[[Path], Path] = readable) -> ArgumentInfo:
    """An argument for a file that must exist."""
    info: ArgumentInfo = typer.Argument(callback=check, show_default=False, help=text)
    return info


def picture_option(text: str) -> OptionInfo:
    """The option ``-o`` for a picture to write."""
    info: OptionInfo = typer.Option(
        "--output", "-o", metavar="FILE", dir_okay=False, callback=picture, help=text
    )
    return info


def one_of(name: str, known: Collection[str]) -> str:
    """Refuse a name that is not known."""
    if name not in known:
        raise typer.BadParameter(f"must be one of {', '.join(known)}, got {shown(name)}.")
    return name


def read_json(path: Path) -> object:
    """Read the JSON in a file, or on stdin for ``-``.

    Raises:
        ConfigError: It is no JSON, or a key stands in it twice, so that one would be lost.
    """
    name = "stdin" if path == STDIO else path.name
    try:
        # Some editors on Windows put a mark of the encoding before the text.
        data = sys.stdin.buffer.read() if path == STDIO else path.read_bytes()
        found: object = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_distinct)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{name} is no JSON: {error}.") from None
    return found


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise ConfigError(f"The key {shown(key)} stands there twice. Keep one of them.")
        found[key] = value
    return found
