"""Names and values of others as text that can be shown: printable, on one line, and not too long.

A name may come from a file or a folder that anybody made. It can hold what steers a terminal, what
turns the direction of writing, or halves of characters that no encoding writes.
"""

import io
import random
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

MOST_CHARACTERS = 500
"""Of one value in a message."""

MOST_OF_A_MESSAGE = 20_000
"""Characters of a whole message: room for the names of all layers, and none for a megabyte."""

_RULE = "─"  # under the heading of a table
_LEVELS = 6  # of containers in containers
_BITS = 4096  # Python writes no whole number of many more


def printable(text: str, keep: str = "") -> str:
    r"""Replace what can't be seen in a text by its escape, as ``repr`` writes it.

    Args:
        text: Any text; what is printable stays as it is, whatever the script.
        keep: Characters to leave alone, such as ``"\n"``.

    Examples:
        >>> printable("block_1/größe"), printable("\x1b[31mred\ud800"), printable("a\nb", keep="\n")
        ('block_1/größe', '\\x1b[31mred\\ud800', 'a\nb')
    """
    if text.isprintable():  # nearly always
        return text
    return "".join(
        character
        if character.isprintable() or character in keep
        else character.encode("unicode_escape", "backslashreplace").decode("ascii")
        for character in text
    )


def shorten(text: str, most: int) -> str:
    """The text; if it is long, without its middle.

    Examples:
        >>> shorten("encoder/block_1/kernel", 11)
        'encod…ernel'
    """
    if len(text) <= most:
        return text
    half = (most - 1) // 2
    return f"{text[: most - 1 - half]}…{text[len(text) - half :]}"


def name_text(name: str, most: int = MOST_CHARACTERS) -> str:
    r"""A name for a table, a picture or a sentence: printable, on one line, and not too long.

    Examples:
        >>> name_text("head\x1b[2J"), name_text("encoder/block_1/kernel", most=11)
        ('head\\x1b[2J', 'encod…ernel')
    """
    return shorten(printable(shorten(name, 2 * most)), most)


def message_text(text: str) -> str:
    r"""The text of an error: printable, on several lines if it has them, and of a few pages.

    Examples:
        >>> message_text("Two rules:\n  'a\x1b[2J'")
        "Two rules:\n  'a\\x1b[2J'"
    """
    short = printable(shorten(text, MOST_OF_A_MESSAGE), keep="\n")
    return shorten(short, MOST_OF_A_MESSAGE)  # an escape is longer than what it stands for


def shown(value: object, most: int = MOST_CHARACTERS) -> str:
    """A value for a message: its ``repr``, on one line, without its middle if it is long.

    Unlike ``repr`` it never fails, and takes no longer for a value that is large or deep.

    Examples:
        >>> shown([1, "two"]), shown("x" * 1_000_000, most=9), shown(10**5000)
        ("[1, 'two']", "'xxx…xxx'", 'a whole number of 16610 bits')
    """
    if isinstance(value, str) and 2 * len(value) < most and value.isprintable():
        return repr(value)  # nearly always
    text = _written(value, most + 1, _LEVELS)
    return shorten(printable(" ".join(map(str.strip, text.splitlines()))), most)


def first_few(values: Sequence[object], most: int = 8) -> str:
    """Values for a message, side by side; of many, the first ones and how many there are.

    Examples:
        >>> first_few(["stem", "body", "head"]), first_few(["stem", "body", "head"], most=2)
        ("'stem', 'body', 'head'", "'stem', 'body', … (3 in all)")
    """
    texts = ", ".join(shown(value, 200) for value in values[:most])
    return texts + (f", … ({len(values)} in all)" if len(values) > most else "")


def load_rich() -> None:
    """Import Rich and leave Python's random numbers as they are: its styles draw some as it loads.

    Raises:
        ModuleNotFoundError: Rich is not installed.
    """
    state = random.getstate()
    try:
        from rich import text  # noqa: F401
    finally:
        random.setstate(state)


def keep_numbers(table: "Table", width: int) -> None:
    """Make a table of Rich wider than the line if its columns need that.

    Rich would cut digits off. A terminal breaks the lines instead.

    Args:
        table: A table each column of which says the width it needs.
        width: The characters of a line.
    """
    least = 1 + sum((column.min_width or 0) + 2 for column in table.columns)
    if least > width:
        table.width = least


def columns_of(width: int | None) -> int:
    """The characters of a line: as given, or as many as the terminal has."""
    return width or shutil.get_terminal_size((100, 24)).columns


def table_text(table: object, width: int | None = None) -> str:
    """A table of Rich as plain text, without spaces at the ends of its lines, or empty lines.

    Where standard output can't write its rule, as in a file on Windows, hyphens stand for it.

    Args:
        table: What Rich is to print.
        width: The most characters of a line; by default as many as the terminal has.
    """
    load_rich()
    from rich.console import Console

    page = io.StringIO()
    console = Console(file=page, width=columns_of(width), color_system=None)
    console.print(table, highlight=False, crop=False)
    lines = [line.rstrip() for line in page.getvalue().splitlines()]
    text = "\n".join(filter(None, lines))
    try:
        _RULE.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return text.replace(_RULE, "-")
    return text


def _written(value: object, room: int, levels: int) -> str:
    """The start of a value's ``repr``, at least as long as there is room for, or all of it."""
    match value:
        case str() if type(value) is str:
            return repr(shorten(value, 2 * room))
        case int() if value.bit_length() > _BITS:
            return f"a whole number of {value.bit_length()} bits"
        case dict() if type(value) is dict:
            pairs = ((key, inner) for key, inner in value.items())
            return f"{{{_items(pairs, room, levels, ': ')}}}"
        case list() if type(value) is list:
            return f"[{_items(((inner,) for inner in value), room, levels)}]"
        case tuple() if type(value) is tuple:
            comma = "," if len(value) == 1 else ""
            return f"({_items(((inner,) for inner in value), room, levels)}{comma})"
    try:
        return repr(value)
    except Exception:  # whatever an object's own __repr__ raises
        return f"<{type(value).__name__}>"


def _items(items: Iterable[tuple[object, ...]], room: int, levels: int, joint: str = "") -> str:
    texts: list[str] = []
    for item in items:
        if room <= 0 or levels == 0:
            return ", ".join([*texts, "…"])
        text = joint.join(_written(part, room, levels - 1) for part in item)
        texts.append(text)
        room -= len(text) + 2
    return ", ".join(texts)
