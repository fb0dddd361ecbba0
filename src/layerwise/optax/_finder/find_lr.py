"""find_lr: a base rate to train with, and arrays that are as they were."""

from collections.abc import Callable, Iterable
from typing import Any, Literal

import jax

from layerwise.errors import FinderError, OptimizerError
from layerwise.finder import LRFinding, StopRule, accumulated, search
from layerwise.optax._finder.base_rate import OptimizerAtRate
from layerwise.optax._finder.trainer import OptaxTrainer, Trained, gathers, loss_step, own_step
from layerwise.optax._parameters import leaves_of
from layerwise.optax._transforms.learning_rates import learning_rates


def find_lr(
    loss_fn: Callable[..., Any] | None,
    params: Any,
    batches: Iterable[Any],
    optimizer: Any = None,
    *,
    update: Callable[..., Any] | None = None,
    state: Any = None,
    extra: Any = None,
    has_aux: bool = False,
    jit: bool = True,
    accumulate: int = 1,
    low: float = 1e-7,
    high: float = 10.0,
    steps: int = 100,
    spacing: Literal["geometric", "linear"] = "geometric",
    method: Literal["probe", "sweep"] = "probe",
    horizon: int | None = None,
    held_out: Iterable[Any] | None = None,
    stop: Literal["diverged", "doubled", "never"] | StopRule = "diverged",
    smoothing: float = 2.0,
    progress: bool = True,
) -> LRFinding:
    """Search a base learning rate for a loss function, its parameters and an optimizer.

    The step is compiled once, with the rate as an argument. Nothing of the caller's changes: what
    trains is a copy, and no array of his is donated. The random states of Python and NumPy, which
    batches may draw from, are put back, and an iterator stays where it was drawn to. Multipliers
    keep their ratios. A schedule inside of the optimizer counts from its first step on: search
    without it, and use it as a factor on the suggestion.

    Args:
        loss_fn: ``loss_fn(params, batch)``, a scalar; ``loss_fn(params, extra, batch)`` with
            ``extra=``, and then it returns the loss and the new extra. None with ``update=``.
        params: A tree of parameters.
        batches: What to train on; what can be gone through again starts again at its end.
        optimizer: A function from a rate to an optimizer (``optax.adamw``, or
            ``lambda rate: optax.chain(...)``), or an optimizer made with
            ``optax.inject_hyperparams``, whose rates keep their ratio to the highest.
        update: Instead of ``loss_fn`` and ``optimizer``, a whole update:
            ``update(params, state, batch, rate)`` returns the new parameters, the new state and
            the loss from before.
        state: An optimizer state to start from; by default a new one.
        extra: What the network changes beside: batch statistics, random keys.
        has_aux: Whether the loss function returns a pair, of which the second is left out.
        jit: Whether the step is compiled here. If not, ``update`` may donate its arguments.
        accumulate: How many batches ``optax.MultiSteps`` gathers for an update, and so for one
            point of the curve.
        low: The sweep's first base rate, above 0.
        high: Its last, above ``low``.
        steps: How many updates the sweep takes, at least 10.
        spacing: ``"geometric"`` or ``"linear"``.
        method: ``"probe"``: short trainings after the sweep, at up to twice its cost;
            ``"sweep"``: from its curve alone.
        horizon: How many updates the training is going to have, if known.
        held_out: Batches to score the probes on, for data so small that a probe goes through it
            more than once; of many, the first few are taken.
        stop: When to end early: ``"diverged"``, ``"doubled"``, ``"never"``, or a function of the
            smoothed losses.
        smoothing: Its width in points, at least 0.
        progress: Whether to draw a progress bar on standard error.

    Returns:
        The curve, the suggested base rate and why, and with multipliers ``group_rates`` by the
        leaves' names.

    Raises:
        FinderError: An argument that can't be honoured, no batch, or a loss that is not a scalar.

    Examples:
        >>> import jax, jax.numpy as jnp, optax
        >>> from layerwise.optax import find_lr, with_multipliers
        >>> x = jax.random.normal(jax.random.key(0), (8, 16, 4))
        >>> batches = [(one, one[:, :1]) for one in x]
        >>> params = {"body": jnp.full((4, 3), 0.1), "head": jnp.full((3, 1), 0.1)}
        >>> def loss_fn(params, batch):
        ...     inputs, targets = batch
        ...     return jnp.mean((inputs @ params["body"] @ params["head"] - targets) ** 2)
        >>> def optimizer(rate):
        ...     return with_multipliers(optax.sgd(rate), {"body": 0.5})
        >>> found = find_lr(loss_fn, params, batches, optimizer, steps=50, progress=False)
        >>> 1e-2 < found.suggestion < 10
        True
        >>> list(found.group_rates)
        ['body', 'head']

    Source: L. N. Smith, "Cyclical Learning Rates for Training Neural Networks" (2017), for the
    sweep; the suggestion is ``layerwise.finder.search``'s.
    """
    _check_ways(loss_fn, optimizer, update)
    _check_data(params, batches)
    gathered = accumulated(batches, accumulate)
    if update is not None:
        step = own_step(update)
    else:
        rated = OptimizerAtRate(optimizer)
        state = rated.init(params) if state is None else state
        assert loss_fn is not None
        step = loss_step(loss_fn, rated, rated.factors(state), has_aux)
    if accumulate > 1 and not gathers(state):
        raise FinderError(
            f"accumulate={accumulate}: this optimizer applies an update after every batch; put "
            "it into optax.MultiSteps."
        )
    donates = update is None or not jit
    trainer = OptaxTrainer(
        jax.jit(step, donate_argnums=(0, 1, 2) if donates else ()) if jit else step,
        Trained(params, state, extra),
        micro=accumulate,
        donates=donates,
    )
    return search(
        trainer,
        gathered,
        low=low,
        high=high,
        steps=steps,
        spacing=spacing,
        method=method,
        horizon=horizon,
        held_out=None if held_out is None else accumulated(held_out, accumulate),
        stop=stop,
        smoothing=smoothing,
        progress=progress,
        group_factors=_group_factors(state, params),
    )


def _check_ways(loss_fn: Any, optimizer: Any, update: Any) -> None:
    if (update is None) == (loss_fn is None) or (update is not None and optimizer is not None):
        raise FinderError(
            "Give find_lr either a loss function with an optimizer, or update= with None for the "
            "loss function."
        )
    for name, function in (("loss_fn", loss_fn), ("update", update)):
        if function is not None and not callable(function):
            raise FinderError(f"{name}={function!r} can't be called.")


def _check_data(params: Any, batches: Any) -> None:
    if not leaves_of(params).leaves:
        raise FinderError(
            f"There are no parameters in this {type(params).__name__}: give the tree of arrays "
            "that is trained."
        )
    if not isinstance(batches, Iterable) and not hasattr(batches, "__getitem__"):
        raise FinderError(f"batches={batches!r}: give the batches to train on, any iterable.")


def _group_factors(state: Any, params: Any) -> dict[str, float]:
    """What each leaf has of the base rate; nothing without multipliers."""
    try:
        return learning_rates(state, params, learning_rate=1.0)
    except OptimizerError:
        return {}
