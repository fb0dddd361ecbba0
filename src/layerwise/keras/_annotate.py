"""annotate: a multiplier on any layer, also one that is not from ``layerwise.keras.layers``."""

from functools import cache
from typing import Any, Self

import keras

from layerwise.errors import MultiplierError
from layerwise.keras import layers
from layerwise.keras._annotated import (
    Annotated,
    Annotation,
    annotation_from_config,
    annotation_to_config,
)
from layerwise.keras._remade import seen_as


def annotate(layer: Any, lr_multiplier: Annotation | None) -> Any:
    """Give a layer learning-rate multipliers of its own, saved with it.

    Args:
        layer: Any Keras layer, built or not. A model is annotated layer by layer.
        lr_multiplier: A number >= 0, a schedule or a registered callable of the step for all of
            its weights; or a dict of these by weight name (``"kernel"``, or more of the path,
            ``"query/kernel"``), where the longest matching name counts; None takes it away.

    Returns:
        The same layer. Its class is now one that saves the multipliers, and still a subclass of
        the one it had.

    Raises:
        MultiplierError: Not a layer, or a value that is no multiplier.
        UnmatchedRuleError: A dict names a weight that the built layer does not have.

    Example:
        >>> import keras
        >>> from layerwise.keras import annotate
        >>> dense = annotate(keras.layers.Dense(4), {"kernel": 1.0, "bias": 2.0})
        >>> dense.lr_multiplier
        {'kernel': 1.0, 'bias': 2.0}

    Source: Caffe's ``lr_mult``, two for a layer: weights and bias.
    """
    if isinstance(layer, keras.Model):
        for part in layer.layers:
            if isinstance(part, keras.Model) or part.weights:
                annotate(part, lr_multiplier)
        return layer
    if not isinstance(layer, keras.Layer):
        raise MultiplierError(
            f"annotate() takes a Keras layer, not {layer!r}; "
            "rules by name go to LRMultiplier(optimizer, {...})."
        )
    if not isinstance(layer, Annotated):
        plain: Any = type(layer)
        layer.__class__ = layers.annotated_class(plain) or _annotated_class(plain)
        try:
            layer.lr_multiplier = lr_multiplier
        except MultiplierError:
            layer.__class__ = plain
            raise
    else:
        layer.lr_multiplier = lr_multiplier
    return layer


class _AnotherLayer(Annotated):
    """An annotated layer of a class that Layerwise does not know: saved inside its own config."""

    _plain: type

    def get_config(self) -> dict[str, Any]:
        plain = seen_as(self, self._plain)
        return {
            "layer": keras.saving.serialize_keras_object(plain),
            "lr_multiplier": annotation_to_config(self._lr_multiplier),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], *args: Any, **kwargs: Any) -> Self:
        layer = keras.saving.deserialize_keras_object(config["layer"])
        annotated: Self = annotate(layer, annotation_from_config(config["lr_multiplier"]))
        return annotated


@cache
def _annotated_class(plain: type) -> type:
    made = type(plain.__name__, (_AnotherLayer, plain), {"_plain": plain, "__doc__": plain.__doc__})
    keras.saving.register_keras_serializable("layerwise", "AnnotatedLayer")(made)
    return made
