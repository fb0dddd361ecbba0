"""A Keras model's variables as the parameters that rules are resolved against."""

from collections.abc import Sequence

import keras
from keras import Variable
from keras.optimizers import Optimizer

from layerwise.errors import AmbiguousRuleError
from layerwise.keras._annotations import annotations_of, check_names
from layerwise.keras._internals.layer import stages
from layerwise.keras._internals.optimizer import weight_decay_of
from layerwise.keras._restored import full_name
from layerwise.multipliers import Parameter, Value


def parameters_of(
    variables: Sequence[Variable], optimizer: Optimizer | None = None
) -> list[Parameter]:
    """One parameter for each variable, in order.

    Keras puts the model's name in front of every path in ``Sequential`` and subclassed models
    (``sequential/conv/kernel``) and not in functional ones, and nested models keep the paths that
    they were built with. A variable does not know its model, so any path of three parts or more
    may also be written without its first.

    Args:
        variables: Keras variables.
        optimizer: Whose weight decay is shown, if any.

    Raises:
        AmbiguousRuleError: One variable has multipliers from two layers.
        UnmatchedRuleError: The multipliers of a layer name a weight that it does not have.
    """
    check_names(variables)
    return [
        Parameter(
            name=path,
            shape=tuple(variable.shape),
            short=path.split("/", 1)[1] if path.count("/") >= 2 else None,
            annotation=_annotation(variable),
            weight_decay=weight_decay_of(optimizer, variable),
            trainable=variable.trainable,
        )
        for variable in variables
        for path in [full_name(variable)]
    ]


def _annotation(variable: Variable) -> Value | None:
    found = annotations_of(variable)
    if len(found) > 1:
        layers = " and ".join(f"{layer!r} ({multiplier})" for layer, multiplier in found)
        raise AmbiguousRuleError(
            f"The weight {full_name(variable)!r} has a multiplier from each of the layers "
            f"{layers}. Leave it to one of them: set lr_multiplier=None on the others."
        )
    return found[0][1] if found else None


def layers_of(model: keras.Model) -> tuple[tuple[str, ...], ...]:
    """The model's layers with trainable weights, from input to output, as strategies take them.

    In a functional model this is the order of its graph, and layers side by side in the graph are
    one level; in a ``Sequential`` or subclassed model it is the order of its layers. A nested model
    counts as its layers. A layer that is built of others (attention, a block of yours) is one
    level.

    Args:
        model: A built Keras model.

    Returns:
        The levels: for each, the paths of its variables.

    Raises:
        AmbiguousRuleError: Variables in different levels have the same path.

    Examples:
        >>> import keras
        >>> from layerwise.keras import layers_of
        >>> inputs = keras.Input((4,))
        >>> hidden = keras.layers.Dense(3, name="hidden")(inputs)
        >>> model = keras.Model(inputs, keras.layers.Dense(1, name="head")(hidden))
        >>> layers_of(model)
        (('hidden/kernel', 'hidden/bias'), ('head/kernel', 'head/bias'))

    Source: the depth of a layer as in ULMFiT's discriminative fine-tuning (Howard and Ruder,
    2018).
    """
    levels = tuple(tuple(full_name(v) for v in level) for level in _levels(model))
    place: dict[str, int] = {}
    for number, level in enumerate(levels):
        for name in level:
            if place.setdefault(name, number) != number:
                raise AmbiguousRuleError(
                    f"Weights in different levels are called {name!r}, so names can't tell their "
                    "levels apart. Give the layers of nested models names of their own; in a model "
                    "that was loaded, an LRMultiplier that was built before saving keeps the names."
                )
    return levels


def _levels(model: keras.Model) -> list[list[Variable]]:
    levels: list[list[Variable]] = []
    for side_by_side in stages(model):
        branches = [
            _levels(layer) if isinstance(layer, keras.Model) else [layer.trainable_variables]
            for layer in side_by_side
        ]
        branches = [branch for branch in branches if any(branch)]
        # Branches of different length end together: what is near the output stays near it.
        height = max((len(branch) for branch in branches), default=0)
        for back in range(height, 0, -1):
            levels.append([v for branch in branches if len(branch) >= back for v in branch[-back]])
    place = {id(v): i for i, level in reversed(list(enumerate(levels))) for v in level}
    # Weights outside all layers, such as a class token, come before the layers.
    unique: list[list[Variable]] = [[] for _ in range(len(levels) + 1)]
    for variable in model.trainable_variables:
        unique[place.get(id(variable), -1) + 1].append(variable)
    return [level for level in unique if level]
