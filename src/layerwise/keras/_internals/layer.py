"""The private parts of Keras' layers, under names of our own."""

import inspect
from collections.abc import Callable

import keras


class LayerHooks(keras.Layer):
    """Stands in front of another layer class, and is told when its weights have been made.

    Attributes:
        plain_class: In a class that was made for one other class, that class: Keras is to treat
            instances as it treats those.
    """

    plain_class: type | None = None

    def _post_build(self) -> None:
        super()._post_build()
        self.after_build()

    def after_build(self) -> None:
        """Called once, when the layer has been built."""

    # A property, since Keras puts a wrapper into each instance, which would hide a method.
    @property
    def quantize(self) -> Callable[..., None]:
        """Quantize the layer, as Keras does it for the plain class alone."""
        method: Callable[..., None] | None = vars(self).get("quantize")
        if method is None:
            inherited: Callable[..., None] = super().quantize
            return inherited
        plain = vars(type(self)).get("plain_class")
        if plain is None or not _checks_its_type(plain):
            return method

        def quantize(mode: object = None, type_check: bool = True, config: object = None) -> None:
            # Keras 3.10 knows no config. The check is for subclasses that compute something else.
            configs = {} if config is None else {"config": config}
            method(mode, **configs, type_check=False)

        return quantize

    @quantize.setter
    def quantize(self, method: Callable[..., None]) -> None:
        self.__dict__["quantize"] = method


def _checks_its_type(layer_class: type) -> bool:
    """Whether a class has a ``quantize`` of its own, which can be told to take a subclass."""
    own = vars(layer_class).get("quantize")
    return own is not None and "type_check" in inspect.signature(own).parameters


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
