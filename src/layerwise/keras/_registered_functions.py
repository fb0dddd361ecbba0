"""The functions in rules and schedules, as Keras saves them."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras

from layerwise.errors import LayerwiseError


def function_name(function: Callable[..., Any]) -> str | dict[str, Any] | None:
    """What a config holds in place of a function.

    Returns:
        The name under which Keras knows the function; the config of an object that Keras can make
        again, such as a learning-rate schedule of Keras; or None if it is neither.
    """
    try:
        name: str = keras.saving.get_registered_name(function)
    except (AttributeError, TypeError):  # an object without a name, or without a hash
        return _object_config(function)
    if keras.saving.get_registered_object(name) is function:
        return name
    return _object_config(function)


def _object_config(made: object) -> dict[str, Any] | None:
    """The config of an object, if Keras can make the same object again from it."""
    if isinstance(made, type) or not hasattr(made, "get_config"):
        return None
    try:
        config: dict[str, Any] = json.loads(json.dumps(keras.saving.serialize_keras_object(made)))
        again = keras.saving.deserialize_keras_object(config)
    except LayerwiseError:
        raise
    except Exception:  # a get_config() or from_config() of the user's may raise anything
        return None
    config.pop("shared_object_id", None)  # means nothing outside of the file that Keras writes
    return config if type(again) is type(made) else None


class RegisteredFunctions(Mapping[str, Callable[..., Any]]):
    """The functions registered with Keras, by name; looked up when asked for, never copied.

    In place of a name it also takes the config of an object, which it makes once.
    """

    def __init__(self) -> None:
        self._made: dict[str, Callable[..., Any]] = {}

    def __getitem__(self, name: str | Mapping[str, Any]) -> Callable[..., Any]:
        if not isinstance(name, str):
            return self._object(name)
        function: Callable[..., Any] | None = keras.saving.get_registered_object(name)
        if function is None:
            raise KeyError(name)
        return function

    def _object(self, config: Mapping[str, Any]) -> Callable[..., Any]:
        key = json.dumps(config, sort_keys=True)
        if key not in self._made:
            try:
                self._made[key] = keras.saving.deserialize_keras_object(config)
            except (TypeError, ValueError) as error:  # a class that is not known here
                raise KeyError(key) from error
        return self._made[key]

    def __iter__(self) -> Iterator[str]:
        return iter(keras.saving.get_custom_objects())

    def __len__(self) -> int:
        return len(keras.saving.get_custom_objects())
