"""One object under two classes: the one that it was made with, and another."""

from collections.abc import Callable
from typing import TypeVar

from layerwise.errors import LayerwiseError

T = TypeVar("T")


def view_as(instance: object, base: type[T]) -> T:
    """A new object of class ``base`` with the attributes of another, not copied."""
    view: T = object.__new__(base)
    vars(view).update(vars(instance))
    return view


def become(instance: object, new: type, error: type[LayerwiseError]) -> None:
    """Change an object's class to a subclass of the one it has, which adds no storage.

    Args:
        instance: The object.
        new: The subclass.
        error: The class of the error to raise.

    Raises:
        LayerwiseError: Python does not allow it, for example because of ``__slots__``.
    """
    try:
        instance.__class__ = new
    except TypeError as reason:
        raise error(
            f"Layerwise can't add multipliers to a {type(instance).__name__}: {reason}. Its class "
            "must be an ordinary one, without __slots__."
        ) from reason


def unpickler(saveable_class: type) -> Callable[[object], object]:
    """The function with which Keras makes a layer or optimizer of this class from a pickle."""
    function: Callable[[object], object] = saveable_class._unpickle_model  # type: ignore[attr-defined]
    return function
