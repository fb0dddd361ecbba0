"""annotate: a multiplier on any layer, also one that is not from ``layerwise.keras.layers``."""

from collections.abc import Mapping
from functools import cache
from typing import Self, TypeVar

import keras

from layerwise.errors import MultiplierError
from layerwise.keras import layers
from layerwise.keras._annotations import (
    Annotated,
    Annotation,
    annotation_from_config,
    annotation_to_config,
    checked_annotation,
)
from layerwise.keras._internals.classes import become, view_as

AnyLayer = TypeVar("AnyLayer", bound=keras.Layer)


def annotate(layer: AnyLayer, lr_multiplier: Annotation | None) -> AnyLayer:
    """Give a layer learning-rate multipliers, which are saved with it.

    Args:
        layer: Any Keras layer, built or not; or a built model, whose layers are all annotated.
        lr_multiplier: A number >= 0, a schedule or a registered callable of the step for all of
            its weights; or a dict of these by weight name (``"kernel"``, or with more of the path
            ``"query/kernel"``), where the longest matching name counts; None removes them.

    Returns:
        The same layer. Its class is now a subclass of the one it had, which saves the multipliers.

    Raises:
        MultiplierError: Not a layer, a value that is no multiplier, or a model that is not built.
        UnmatchedRuleError: A dict names a weight that the built layer does not have.

    Examples:
        >>> import keras
        >>> from layerwise.keras import annotate
        >>> dense = annotate(keras.layers.Dense(4), {"kernel": 1.0, "bias": 2.0})
        >>> dense.lr_multiplier
        {'kernel': 1.0, 'bias': 2.0}

    Source: Caffe's ``lr_mult``, one for the weights of a layer and one for its bias.
    """
    if isinstance(layer, keras.Model):
        _annotate_model(layer, lr_multiplier)
        return layer
    if not isinstance(layer, keras.Layer):
        raise MultiplierError(
            f"annotate() takes a Keras layer, not {layer!r}; "
            "rules by name go to LRMultiplier(optimizer, {...})."
        )
    checked = checked_annotation(lr_multiplier, layer.name, layer)
    if not isinstance(layer, Annotated):
        plain: type = type(layer)
        become(layer, layers.annotated_class(plain) or _annotated_class(plain), MultiplierError)
    layer.lr_multiplier = checked
    return layer


def _annotate_model(model: keras.Model, lr_multiplier: Annotation | None) -> None:
    """Annotate every layer of a model that has weights, or none."""
    checked = checked_annotation(lr_multiplier, model.name)
    if isinstance(checked, Mapping):
        raise MultiplierError(
            f"{model.name!r} is a model, and a dict by weight name is for one layer: give the "
            "model one multiplier, or annotate its layers."
        )
    if not model.built:
        raise MultiplierError(
            f"The model {model.name!r} has no weights yet, so it is not known which layers will "
            "have some. Build it first, or annotate its layers."
        )
    parts = _layers_with_weights(model)
    reached = {id(weight) for part in parts for weight in part.weights}
    if any(id(weight) not in reached for weight in model.trainable_weights):
        raise MultiplierError(
            f"The model {model.name!r} has weights outside its layers, which can't keep a "
            "multiplier. Annotate its layers, and give the other weights a rule by name."
        )
    for part in parts:
        annotate(part, checked)


def _layers_with_weights(model: keras.Model) -> list[keras.Layer]:
    found: list[keras.Layer] = []
    for part in model.layers:
        if isinstance(part, keras.Model):
            found += _layers_with_weights(part)
        elif part.weights:
            found.append(part)
    return found


@keras.saving.register_keras_serializable("layerwise", "AnnotatedLayer")
class _AnotherLayer(Annotated):
    """An annotated layer of a class that Layerwise does not know: its config holds that layer's."""

    _plain: type

    def get_config(self) -> dict[str, object]:
        plain: object = view_as(self, self._plain)
        return {
            "layer": keras.saving.serialize_keras_object(plain),
            "lr_multiplier": annotation_to_config(self._lr_multiplier),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, object], *args: object, **kwargs: object) -> Self:
        layer = keras.saving.deserialize_keras_object(config["layer"])
        annotated: Self = annotate(layer, annotation_from_config(config["lr_multiplier"]))
        return annotated


# All are registered under one name: any of them can read a config, which holds the layer.
@cache
def _annotated_class(plain: type) -> type:
    made = type(plain.__name__, (_AnotherLayer, plain), {"_plain": plain, "__doc__": plain.__doc__})
    keras.saving.register_keras_serializable("layerwise", "AnnotatedLayer")(made)
    return made
