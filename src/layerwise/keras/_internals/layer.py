"""The private parts of Keras' layers and models of layers that Layerwise leans on."""

from typing import Any

import keras


def stages(model: Any) -> list[list[Any]]:
    """The layers of a model in the order of the data; those side by side in it together."""
    by_depth = getattr(model, "_operations_by_depth", None)
    if by_depth is None or isinstance(model, keras.Sequential):
        return [[layer] for layer in model.layers]
    return [
        [operation for operation in by_depth[depth] if isinstance(operation, keras.Layer)]
        for depth in sorted(by_depth, reverse=True)
    ]
