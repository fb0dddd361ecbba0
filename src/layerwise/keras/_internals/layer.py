"""The private parts of Keras' layers, under names of our own."""

import keras


class LayerHooks(keras.Layer):
    """A layer that is told when its weights have been made."""

    def _post_build(self) -> None:
        super()._post_build()
        self.after_build()

    def after_build(self) -> None:
        """Called once, when the layer has been built."""


def stages(model: keras.Model) -> list[list[keras.Layer]]:
    """The layers of a model in the order of the data, those side by side in one list."""
    by_depth = getattr(model, "_operations_by_depth", None)
    if by_depth is None or isinstance(model, keras.Sequential):
        return [[layer] for layer in model.layers]
    return [
        [operation for operation in by_depth[depth] if isinstance(operation, keras.Layer)]
        for depth in sorted(by_depth, reverse=True)
    ]


def layers_within(model: keras.Model) -> list[keras.layers.Layer]:
    """The model, and every layer inside it, at any depth."""
    return list(model._flatten_layers(include_self=True, recursive=True))
