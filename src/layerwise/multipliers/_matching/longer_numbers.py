"""Keys that end in a number and match a longer one: ``blocks.1`` also starts ``blocks.10``."""

import re
import warnings
from collections.abc import Iterable, Iterator, Sequence, Set

from layerwise._text import first_few
from layerwise.multipliers._names import layers_of
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
    if not longer:
        return
    layers, names = _whole(longer.keys(), parameters, mode, separator)
    doubtful = [key for key in longer if key in layers or key in names]
    for key in doubtful[:_SHOWN]:
        others = list(longer[key])
        way_out = f"To mean {key!r} alone, write {key + separator!r}."
        if key not in layers:  # a parameter
            way_out = f"To give {others[0]!r} another value, name it as well."
        taken = first_few(others, _SHOWN)
        yield f"{subject} {key!r} also takes {taken}, because a key is plain text. {way_out}"
    if len(doubtful) > _SHOWN:
        yield f"So do {len(doubtful) - _SHOWN} more keys that end in a number."


def warn_of_longer_numbers(notes: Iterable[str]) -> None:
    """One warning for all sentences, if there are any."""
    text = "\n".join(notes)
    if text:
        warnings.warn(text, stacklevel=3)


def _whole(
    keys: Set[str], parameters: Sequence[Parameter], mode: str, separator: str
) -> tuple[set[str], set[str]]:
    """The keys that are whole layers, and those that are whole names of parameters."""
    layers: set[str] = set()
    names: set[str] = set()
    for parameter in parameters:
        for text in _texts(parameter):
            if mode == "prefix":
                layers.update(layer for layer in layers_of(text, separator) if layer in keys)
                names.update({text} & keys)
            else:
                layers.update(key for key in keys if key + separator in text)
                names.update(key for key in keys if text.endswith(key))
    return layers, names


def _texts(parameter: Parameter) -> tuple[str, ...]:
    """What a key may have matched."""
    name, short = parameter.name, parameter.short
    return (name, short, *parameter.aliases) if short else (name, *parameter.aliases)


def _ends(key: str, text: str, mode: str) -> list[int]:
    """Where the key ends in a text that it matches."""
    if mode == "prefix":
        return [len(key)] if text.startswith(key) else []
    return [match.end() for match in re.finditer(re.escape(key), text)]


def _to_number_end(text: str, end: int) -> str:
    digits = _DIGITS.match(text, end)
    return text[: digits.end()] if digits else text
