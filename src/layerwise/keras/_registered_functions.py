"""The functions in rules and schedules, by the names that Keras saves them under."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras


def function_name(function: Callable[..., Any]) -> str | None:
    """The name under which Keras knows a function, or None if it was not registered."""
    name: str = keras.saving.get_registered_name(function)
    return name if keras.saving.get_registered_object(name) is function else None


class RegisteredFunctions(Mapping[str, Callable[..., Any]]):
    """The functions registered with Keras, by name; looked up when asked for, never copied."""

    def __getitem__(self, name: str) -> Callable[..., Any]:
        function: Callable[..., Any] | None = keras.saving.get_registered_object(name)
        if function is None:
            raise KeyError(name)
        return function

    def __iter__(self) -> Iterator[str]:
        return iter(keras.saving.get_custom_objects())

    def __len__(self) -> int:
        return len(keras.saving.get_custom_objects())
