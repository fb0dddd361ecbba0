"""check_width_scaling: whether rates transfer between Keras models of several widths."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from layerwise._text import shown
from layerwise.errors import MultiplierError
from layerwise.keras._internals.random_states import RandomStates
from layerwise.keras._optimizer.clone import Identifier
from layerwise.keras._optimizer.lr_multiplier import LRMultiplier
from layerwise.multipliers import Rules, WidthCheck, check_widths, measure_widths, width_scaling


def check_width_scaling(
    make_model: Callable[[int], keras.Model],
    widths: Iterable[int],
    inputs: Any,
    targets: Any,
    loss: Any,
    *,
    rules: Rules | None = None,
    optimizer: Identifier = "adam",
    steps: int = 5,
    repeats: int = 3,
) -> WidthCheck:
    r"""Check whether a rate that is good for a narrow model is good for a wide one.

    Models of several widths are trained on one batch for a few updates. Let $a_t(n)$ be a layer's
    activations after $t$ updates at width $n$. Rates transfer if the size of

    $$a_t(n) - a_0(n)$$

    does not depend on $n$ for any layer. It needs no good rate, only one that is not too high.

    Args:
        make_model: Gets a width and returns a new model, functional or ``Sequential``, whose layers
            have the same names at all widths.
        widths: At least two widths, some factors of two apart.
        inputs: One batch, as for ``model.train_on_batch``.
        targets: Its targets.
        loss: The loss, as for ``model.compile``.
        rules: The rules to check. By default ``width_scaling`` with the narrowest model as the
            base; ``{}`` shows what happens without.
        optimizer: An identifier, config or instance of a Keras optimizer, with the base rate.
        steps: Updates.
        repeats: Models of each width, whose sizes are averaged.

    Returns:
        The sizes and changes, with a ``verdict`` in words and ``plot()``. Layers are the model's
        layers with weights, by name.

    Raises:
        MultiplierError: A model is subclassed, or a width, rule or number can't be used, or the
            optimizer's family is not known, which ``rules=width_scaling(base, optimizer=...)``
            says.
        OptimizerError: ``optimizer`` isn't an optimizer.

    Examples:
        >>> import keras, numpy
        >>> from layerwise.keras import check_width_scaling
        >>> def make_model(width):
        ...     return keras.Sequential(
        ...         [
        ...             keras.Input((8,)),
        ...             keras.layers.Dense(width, "relu", name="body"),
        ...             keras.layers.Dense(1, kernel_initializer="zeros", name="head"),
        ...         ]
        ...     )
        >>> x = numpy.random.default_rng(0).normal(size=(64, 8))
        >>> check_width_scaling(make_model, [64, 256], x, x[:, :1], "mse").layers
        ('body', 'head')

    Source: the coordinate check of Tensor Programs V (Yang et al., 2022).
    """
    wanted = check_widths(widths)
    if rules is None:
        rules = width_scaling(_made(make_model, wanted[0], 0))

    def trial(width: int, seed: int) -> _Trial:
        model = _made(make_model, width, seed)
        model.compile(LRMultiplier(optimizer, rules), loss)
        return _Trial(model, inputs, targets)

    return measure_widths(trial, wanted, steps=steps, repeats=repeats)


def _made(make_model: Callable[[int], keras.Model], width: int, seed: int) -> keras.Model:
    """A model from a seed; the random states of the process stay as they are."""
    states = RandomStates()
    try:
        keras.utils.set_random_seed(seed)
        model = make_model(width)
    finally:
        states.put_back()
    if not isinstance(model, keras.Model):
        raise MultiplierError(f"make_model must return a model, got {shown(model)}.")
    if not getattr(model, "inputs", None):
        raise MultiplierError(
            f"The model {model.name!r} must be functional, or Sequential with an Input: a "
            "subclassed model doesn't show what its layers give."
        )
    return model


class _Trial:
    """A model in training on one batch."""

    def __init__(self, model: keras.Model, inputs: Any, targets: Any) -> None:
        self.model = model
        self.inputs = inputs
        self.targets = targets
        outputs = {
            layer.name: keras.tree.flatten(layer.output)[0]
            for layer in model.layers
            if layer.weights
        }
        several = len(model.inputs) > 1
        self.probe = keras.Model(model.input if several else model.inputs[0], outputs)

    def activations(self) -> Mapping[str, npt.NDArray[np.float64]]:
        """What the layers with weights give for the batch."""
        found = self.probe(self.inputs, training=False)
        return {n: np.asarray(keras.ops.convert_to_numpy(v)) for n, v in found.items()}

    def step(self) -> None:
        """Train on the batch once."""
        self.model.train_on_batch(self.inputs, self.targets)
