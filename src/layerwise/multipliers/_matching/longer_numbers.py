"""Keys that end in a number and match a longer one: ``blocks.1`` also starts ``blocks.10``."""

import re
import warnings
from collections.abc import Iterable, Iterator, Sequence

from layerwise.multipliers._plan import Parameter

_DIGITS = re.compile(r"\d+")
_SHOWN = 3


def longer_numbers(
    keys: Sequence[str | None],
    parameters: Sequence[Parameter],
    mode: str,
    separator: str,
    subject: str = "The rule",
) -> Iterator[str]:
    """A sentence for each key that takes a layer and, surely unmeant, others of longer numbers.

    A key that is the whole name of no layer is left alone: it can only mean a beginning.

    Args:
        keys: The key that won for each parameter, or None.
        parameters: The parameters.
        mode: The match mode; only ``prefix`` and ``substring`` read a key as plain text.
        separator: What stands between the parts of a name.
        subject: How a sentence begins, before the key.
    """
    if mode not in ("prefix", "substring"):
        return
    longer: dict[str, dict[str, None]] = {}
    for key, parameter in zip(keys, parameters, strict=True):
        if key is not None and key[-1].isdigit():
            for text in _texts(parameter):
                ends = _ends(key, text, mode)
                if ends and all(text[end : end + 1].isdigit() for end in ends):
                    longer.setdefault(key, {})[_to_number_end(text, ends[0])] = None
    for key, others in longer.items():
        whole = _as_whole(key, parameters, mode, separator)
        if whole is None:
            continue
        names = ", ".join(map(repr, list(others)[:_SHOWN]))
        more = len(others) - _SHOWN
        names += f" and {more} more" if more > 0 else ""
        only = f"To mean {key!r} alone, write {key + separator!r}."
        if not whole:  # no layer, but a parameter
            only = f"To give {next(iter(others))!r} another value, name it as well."
        yield f"{subject} {key!r} also takes {names}, because a key is plain text. {only}"


def warn_of_longer_numbers(notes: Iterable[str]) -> None:
    """One warning for all sentences, if there are any."""
    text = "\n".join(notes)
    if text:
        warnings.warn(text, stacklevel=3)


def _as_whole(key: str, parameters: Sequence[Parameter], mode: str, separator: str) -> bool | None:
    """True if the key is a whole layer, False if only a parameter, None if neither."""
    found: bool | None = None
    for parameter in parameters:
        for text in _texts(parameter):
            for end in _ends(key, text, mode):
                if text.startswith(separator, end):
                    return True
                if end == len(text):
                    found = False
    return found


def _texts(parameter: Parameter) -> Iterator[str]:
    for name, short in parameter.paths():
        yield name
        if short:
            yield short


def _ends(key: str, text: str, mode: str) -> list[int]:
    """Where the key ends in a text that it matches."""
    if mode == "prefix":
        return [len(key)] if text.startswith(key) else []
    return [match.end() for match in re.finditer(re.escape(key), text)]


def _to_number_end(text: str, end: int) -> str:
    digits = _DIGITS.match(text, end)
    return text[: digits.end()] if digits else text
