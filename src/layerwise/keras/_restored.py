"""What a saved optimizer knows of a weight and Keras' loader does not: name and multiplier.

Keras' loader builds each layer by itself, before the layers around it: the weight
``model/encoder/lstm_cell/kernel`` comes back as ``lstm_cell/kernel``. And a layer that is made in
another layer's ``__init__`` comes back without the multiplier that it was given later. Both are
written on the weight, so that a second optimizer finds them, too.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from keras import Variable

from layerwise.multipliers import Value

_NAME, _ANNOTATION = "_layerwise_name", "_layerwise_annotation"


@dataclass(frozen=True)
class RestoredAnnotation:
    """The multiplier that a weight had when its model was saved.

    Attributes:
        layer: The layer of the weight, by name.
        value: The multiplier, or None if it had none.
    """

    layer: str
    value: Value | None


def full_name(variable: Variable) -> str:
    """The path of a weight, with the layers around it that Keras' loader left out."""
    # A tf.Variable has only a name.
    path: str = getattr(variable, _NAME, None) or getattr(variable, "path", variable.name)
    return path


def restore_name(variable: Variable, name: str) -> None:
    """Give a weight back the path that it had when its model was saved."""
    if full_name(variable) != name:
        setattr(variable, _NAME, name)


def restored_annotation(variable: Variable) -> RestoredAnnotation | None:
    """What the saved model says of a weight's multiplier, where that counts."""
    return getattr(variable, _ANNOTATION, None)


def restore_annotation(variable: Variable, value: Value | None) -> None:
    """Give a weight back the multiplier that it had, whatever the layers around it say."""
    layer = full_name(variable).rpartition("/")[0]
    setattr(variable, _ANNOTATION, RestoredAnnotation(layer, value))


def forget_annotations(variables: Iterable[Variable]) -> None:
    """From now on the layers say which multipliers these weights have."""
    for variable in variables:
        if restored_annotation(variable) is not None:
            delattr(variable, _ANNOTATION)
