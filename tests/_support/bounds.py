"""What must hold whatever a stranger hands in: an answer or an error of ours, in bounded memory."""

import resource
from collections.abc import Callable
from typing import TypeVar

from layerwise._text import MOST_OF_A_MESSAGE
from layerwise.errors import LayerwiseError

T = TypeVar("T")

MOST_KILOBYTES = 500_000


def in_bounds(attempt: Callable[[], T]) -> T | None:
    """What an attempt gives; None for an error of ours, whose message is short and printable."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found, message = None, ""
    try:
        found = attempt()
    except LayerwiseError as error:
        message = str(error)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_KILOBYTES
    assert len(message) <= MOST_OF_A_MESSAGE
    assert message.replace("\n", " ").isprintable()
    assert message.encode("utf-8").decode() == message
    return found
