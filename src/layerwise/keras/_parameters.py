"""A Keras model's variables as the parameters that rules are resolved against."""

from collections.abc import Sequence

import keras
from keras import Variable
from keras.optimizers import Optimizer

from layerwise._checks import choice
from layerwise.errors import AmbiguousRuleError, MultiplierError
from layerwise.keras._annotated.annotations import annotations_of, check_names
from layerwise.keras._internals.layer import stages
from layerwise.keras._internals.optimizer import weight_decay_of
from layerwise.keras._restored import full_name
from layerwise.multipliers import ModelLayers, Parameter, Value, blocks_joined


def parameters_of(
    variables: Sequence[Variable], optimizer: Optimizer | None = None
) -> list[Parameter]:
    """One parameter for each variable, in order.

    Keras puts the model's name in front of every path in ``Sequential`` and subclassed models
    (``sequential/conv/kernel``) and not in functional ones, and nested models keep the paths that
    they were built with. A variable does not know its model, so any path of three parts or more
    may also be written without its first, and so may other paths that begin alike: a weight of the
    model itself (``net/pos``) is beside those of its layers (``net/mid/kernel``).

    Args:
        variables: Keras variables.
        optimizer: Whose weight decay is shown, if any.

    Raises:
        AmbiguousRuleError: One variable has multipliers from two layers.
        UnmatchedRuleError: The multipliers of a layer name a weight that it does not have.
    """
    check_names(variables)
    paths = list(map(full_name, variables))
    models = {path.split("/")[0] for path in paths if path.count("/") >= 2}
    return [
        Parameter(
            name=path,
            shape=tuple(variable.shape),
            short=path.partition("/")[2] or None if path.split("/")[0] in models else None,
            annotation=_annotation(variable),
            weight_decay=weight_decay_of(optimizer, variable),
            trainable=variable.trainable,
        )
        for variable, path in zip(variables, paths, strict=True)
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


_NORMS = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.RMSNormalization,
)


def layers_of(model: keras.Model, by: str = "layer") -> ModelLayers:
    """The model's layers with trainable weights, from input to output, as strategies take them.

    In a functional model this is the order of its graph, and layers side by side in the graph are
    one level; in a ``Sequential`` or subclassed model it is the order of its layers. A nested model
    counts as its layers. A layer that is built of others (attention, a block of yours) is one
    level, and a normalization belongs to the layer that it follows.

    Args:
        model: A built Keras model.
        by: ``"layer"``, or ``"block"`` to have the layers of one block, by their names
            (``expanded_conv_1_expand``, ``expanded_conv_1_project``), as one level.

    Returns:
        The levels: for each, the paths of its variables. As ``layers=`` they keep their depth, even
        if some of the layers are frozen later.

    Raises:
        AmbiguousRuleError: Variables in different levels have the same path.
        MultiplierError: ``by`` is neither ``"layer"`` nor ``"block"``.

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
    choice(by, "by", MultiplierError, ("layer", "block"))
    norms: set[int] = set()
    levels: list[list[Variable]] = []
    for level in _levels(model, norms):
        if levels and all(id(v) in norms for v in level):
            levels[-1] += level
        else:
            levels.append(level)
    if len(levels) > 1 and all(id(v) in norms for v in levels[0]):
        levels[:2] = [levels[0] + levels[1]]  # nothing is before it
    names = ModelLayers(tuple(full_name(v) for v in level) for level in levels)
    _check_apart(names)
    return names if by == "layer" else ModelLayers(blocks_joined(names))


def _check_apart(levels: ModelLayers) -> None:
    """Raise if names can't tell the levels apart."""
    place: dict[str, int] = {}
    for number, level in enumerate(levels):
        for name in level:
            if place.setdefault(name, number) != number:
                raise AmbiguousRuleError(
                    f"Weights in different levels are called {name!r}, so names can't tell their "
                    "levels apart. Give the layers of nested models names of their own; in a model "
                    "that was loaded, an LRMultiplier that was built before saving keeps the names."
                )


def _levels(model: keras.Model, norms: set[int]) -> list[list[Variable]]:
    """The levels of a model; the ids of the variables of normalizations are added to ``norms``."""
    levels: list[list[Variable]] = []
    for side_by_side in stages(model):
        for layer in side_by_side:
            if isinstance(layer, _NORMS):
                norms.update(map(id, layer.trainable_variables))
        branches = [
            _levels(layer, norms) if isinstance(layer, keras.Model) else [layer.trainable_variables]
            for layer in side_by_side
        ]
        branches = [branch for branch in branches if any(branch)]
        # Branches of different length end together: what is near the output stays near it.
        height = max((len(branch) for branch in branches), default=0)
        for back in range(height, 0, -1):
            levels.append([v for branch in branches if len(branch) >= back for v in branch[-back]])
    place = {id(v): i for i, level in reversed(list(enumerate(levels))) for v in level}
    # Weights outside all layers, such as a class token, come before the layers; but a number, such
    # as a temperature, scales what comes out of the last.
    unique: list[list[Variable]] = [[] for _ in range(len(levels) + 1)]
    for variable in model.trainable_variables:
        outside = len(levels) - 1 if variable.shape == () else -1
        unique[place.get(id(variable), outside) + 1].append(variable)
    return [level for level in unique if level]
