"""annotate: a multiplier on any layer, even one that is not from ``layerwise.keras.layers``."""

from collections.abc import Mapping
from functools import cache
from typing import Any, Self, TypeVar

import keras

from layerwise.errors import MultiplierError
from layerwise.keras import layers
from layerwise.keras._annotated.annotations import (
    Annotated,
    Annotation,
    annotation_from_config,
    annotation_to_config,
    checked_annotation,
    forget,
    note_saved,
)
from layerwise.keras._internals.classes import become, unpickler, view_as
from layerwise.keras._restored import forget_annotations

AnyLayer = TypeVar("AnyLayer", bound=keras.Layer)

_PLAIN = "_class_before_annotate"


def annotate(layer: AnyLayer, lr_multiplier: Annotation | None) -> AnyLayer:
    """Give a layer learning-rate multipliers, which are saved with it.

    Args:
        layer: Any Keras layer, built or not; or a built model, whose layers are all annotated.
        lr_multiplier: A number >= 0, a schedule or a registered callable of the step for all of
            its weights; or a dict of these by weight name (``"kernel"``, or with more of the path
            ``"query/kernel"``), where the longest matching name counts; None removes them. What is
            given to a kernel also counts for the weights that ``enable_lora`` trains in its place.

    Returns:
        The same layer. Its class is now a subclass of the one it had, which saves the multipliers;
        None gives it that class back.

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
    if checked is None:
        _remove(layer)
        return layer
    if not isinstance(layer, Annotated):
        plain: type = type(layer)
        become(layer, layers.annotated_class(plain) or _annotated_class(plain), MultiplierError)
        setattr(layer, _PLAIN, plain)
    layer.lr_multiplier = checked
    return layer


def _remove(layer: keras.Layer) -> None:
    """Remove a layer's multipliers, and give it the class back that it had before ``annotate``."""
    if not isinstance(layer, Annotated):
        forget_annotations(layer.weights)
        return
    layer.lr_multiplier = None
    plain: type | None = vars(layer).get(_PLAIN)
    if plain is not None:
        become(layer, plain, MultiplierError)
        forget(layer)
        delattr(layer, _PLAIN)


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
class AnotherLayer(Annotated):
    """An annotated layer of a class that Layerwise does not know.

    Its config is that layer's, and says beside the multipliers which class it belongs to.
    """

    def get_config(self) -> dict[str, object]:
        plain = self.plain_class
        assert plain is not None
        # A view, since Keras writes the config itself for a class that has no get_config().
        config: dict[str, object] = view_as(self, plain).get_config()
        note_saved(self)
        public = getattr(keras.layers, plain.__name__, None) is plain
        layer = {
            "module": "keras.layers" if public else plain.__module__,
            "class_name": plain.__name__,
            "registered_name": None if public else keras.saving.get_registered_name(plain),
        }
        value = annotation_to_config(self._lr_multiplier, self.name)
        return config | {"lr_multiplier": {"layer": layer, "value": value}}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *args: object, **kwargs: object) -> Self:
        plain = dict(config)
        multiplier = plain.pop("lr_multiplier")
        layer = keras.saving.deserialize_keras_object({**multiplier["layer"], "config": plain})
        annotated: Self = annotate(layer, annotation_from_config(multiplier["value"]))
        return annotated

    def __reduce__(self) -> tuple[object, ...]:
        # Keras pickles through its file format; the class that reads it must be importable.
        return unpickler(AnotherLayer), super().__reduce__()[1]


# All are registered under one name: any of them can read a config, which names the class.
@cache
def _annotated_class(plain: type) -> type:
    body = {"plain_class": plain, "__doc__": plain.__doc__}
    made = type(plain.__name__, (AnotherLayer, plain), body)
    keras.saving.register_keras_serializable("layerwise", "AnnotatedLayer")(made)
    return made
