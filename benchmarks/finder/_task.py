"""What a task of the panel is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Task:
    """A network, a loss and data.

    Attributes:
        name: What it is called in tables.
        data: Gives arrays whose first axis counts the examples.
        init: Makes the network's parameters from a JAX key.
        loss: The loss of ``(params, *arrays of a batch)``.
        batch: How many examples a batch has.
    """

    name: str
    data: Callable[[], tuple[Any, ...]]
    init: Callable[[Any], Any]
    loss: Callable[..., Any]
    batch: int = 32
