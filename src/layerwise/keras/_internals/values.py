"""What Keras' variables hold."""

from typing import Any

import keras
from keras import ops


def value_of(variable: Any) -> Any:
    """The backend's own tensor of a Keras variable."""
    return variable.value if isinstance(variable, keras.Variable) else variable


def copy_of(variable: Any) -> Any:
    """The present value, in memory of its own."""
    return ops.copy(value_of(variable))


def number_in(variable: Any) -> Any:
    """What a variable holds, read outside of any step."""
    value = variable.value
    if keras.backend.backend() == "tensorflow":
        return value.numpy()  # what tf.distribute mirrors has no other way
    return keras.ops.convert_to_numpy(value)
