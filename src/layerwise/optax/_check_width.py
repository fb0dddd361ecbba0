"""check_width_scaling: whether rates transfer between JAX models of several widths."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import numpy as np
import numpy.typing as npt
import optax

from layerwise.multipliers import WidthCheck, check_widths, measure_widths, width_scaling
from layerwise.optax._arrays import ArrayRules
from layerwise.optax._transforms.with_multipliers import with_multipliers


def check_width_scaling(
    make_params: Callable[[int, jax.Array], optax.Params],
    widths: Iterable[int],
    activations: Callable[[optax.Params], Mapping[str, jax.Array]],
    loss: Callable[[optax.Params], jax.Array],
    optimizer: optax.GradientTransformation,
    *,
    rules: ArrayRules | None = None,
    steps: int = 5,
    repeats: int = 3,
) -> WidthCheck:
    r"""Check whether a rate that is good for a narrow model is good for a wide one.

    Parameters of several widths are trained on one batch for a few updates. Let $a_t(n)$ be a
    layer's activations after $t$ updates at width $n$. Rates transfer if the size of

    $$a_t(n) - a_0(n)$$

    does not depend on $n$ for any layer. It needs no good rate, only one that is not too high.

    Args:
        make_params: Gets a width and a random key, and returns new parameters.
        widths: At least two widths, some factors of two apart.
        activations: Gets parameters, and returns what the layers give for one batch, by name.
        loss: Gets parameters, and returns the loss on that batch.
        optimizer: An optimizer at the base rate.
        rules: The rules to check. By default ``width_scaling`` with the narrowest parameters as the
            base; ``{}`` shows what happens without.
        steps: Updates.
        repeats: Models of each width, whose sizes are averaged.

    Returns:
        The sizes and changes, with a ``verdict`` in words and ``plot()``.

    Raises:
        MultiplierError: A width, rule or number can't be used, or the optimizer's family is not
            known, which ``rules=width_scaling(base, optimizer=...)`` says.

    Examples:
        >>> import jax, jax.numpy as jnp, optax
        >>> from layerwise.optax import check_width_scaling
        >>> x = jax.random.normal(jax.random.key(0), (64, 8))
        >>> def make_params(width, key):
        ...     body = {"kernel": jax.random.normal(key, (8, width)) / 8**0.5}
        ...     return {"body": body, "head": {"kernel": jnp.zeros((width, 1))}}
        >>> def activations(params):
        ...     hidden = jax.nn.relu(x @ params["body"]["kernel"])
        ...     return {"body": hidden, "head": hidden @ params["head"]["kernel"]}
        >>> def loss(params):
        ...     return jnp.mean((activations(params)["head"] - x[:, :1]) ** 2)
        >>> check_width_scaling(
        ...     make_params, [64, 256, 1024], activations, loss, optax.adam(1e-3)
        ... ).passes
        True

    Source: the coordinate check of Tensor Programs V (Yang et al., 2022).
    """
    wanted = check_widths(widths)
    if rules is None:
        rules = width_scaling(make_params(wanted[0], jax.random.key(0)))
    multiplied = with_multipliers(optimizer, rules)
    forward, gradient = jax.jit(activations), jax.jit(jax.grad(loss))

    def trial(width: int, seed: int) -> _Trial:
        return _Trial(make_params(width, jax.random.key(seed)), multiplied, forward, gradient)

    return measure_widths(trial, wanted, steps=steps, repeats=repeats)


class _Trial:
    """Parameters in training on one batch."""

    def __init__(
        self,
        params: optax.Params,
        optimizer: optax.GradientTransformation,
        forward: Callable[[optax.Params], Mapping[str, jax.Array]],
        gradient: Callable[[optax.Params], optax.Updates],
    ) -> None:
        self.params = params
        self.state: Any = optimizer.init(params)
        self.optimizer = optimizer
        self.forward = forward
        self.gradient = gradient

    def activations(self) -> Mapping[str, npt.NDArray[np.float64]]:
        """What the layers give for the batch."""
        return {name: np.asarray(value) for name, value in self.forward(self.params).items()}

    def step(self) -> None:
        """Train on the batch once."""
        updates, self.state = self.optimizer.update(
            self.gradient(self.params), self.state, self.params
        )
        self.params = optax.apply_updates(self.params, updates)
