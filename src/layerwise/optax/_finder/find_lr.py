"""find_lr: a base rate to train with, and arrays that are as they were."""

from collections.abc import Iterable
from typing import Unpack

import jax
import jax.numpy as jnp
import optax

from layerwise.errors import FinderError, OptimizerError
from layerwise.finder import LRFinding, SearchKeywords, SearchOptions, accumulated, search
from layerwise.optax._finder.base_rate import OptimizerAtRate, OptimizerMaker
from layerwise.optax._finder.trainer import (
    LossFunction,
    OptaxTrainer,
    Trained,
    Tree,
    Update,
    accumulates,
    loss_step,
    update_step,
)
from layerwise.optax._parameters import is_network_state, is_variable, leaves_of, name_of
from layerwise.optax._transforms.learning_rates import learning_rates


def find_lr(
    loss_fn: LossFunction | None,
    params: optax.Params,
    batches: Iterable[Tree],
    optimizer: OptimizerMaker | optax.GradientTransformation | None = None,
    *,
    update: Update | None = None,
    state: optax.OptState | None = None,
    extra: Tree | None = None,
    has_aux: bool = False,
    jit: bool = True,
    held_out: Iterable[Tree] | None = None,
    **options: Unpack[SearchKeywords],
) -> LRFinding:
    """Search a base learning rate for a loss function, its parameters and an optimizer.

    The step is compiled once, with the rate as an argument. Nothing of the caller's changes: a copy
    is trained, and no array of the caller's is donated. The random states of Python and NumPy,
    which batches may draw from, are put back; an iterator stays where it was drawn to. Multipliers
    keep their ratios. A schedule inside the optimizer counts from its first step on: search
    without it, and use it as a factor on the suggestion.

    Args:
        loss_fn: ``loss_fn(params, batch)``, a scalar; with ``extra=``, ``loss_fn(params, extra,
            batch)``, which returns the loss and the new extra. None with ``update=``.
        params: A tree of parameters.
        batches: The batches to train on. What can be gone through again starts again at its end.
        optimizer: A function from a rate to an optimizer (``optax.adamw``, or
            ``lambda rate: optax.chain(...)``), or an optimizer made with
            ``optax.inject_hyperparams``, whose rates keep their ratio to the highest.
        update: Instead of ``loss_fn`` and ``optimizer``, a whole update:
            ``update(params, state, batch, rate)`` returns the new parameters, the new state and
            the loss from before.
        state: An optimizer state to start from; by default a new one.
        extra: What else the network changes: batch statistics, random keys.
        has_aux: Whether the loss function returns a pair, whose second part is ignored.
        jit: Whether to compile the step. If not, ``update`` may donate its arguments.
        held_out: Batches to score the probes on, for data so small that a probe goes through it
            more than once. Of many, the first few are taken.
        options: How to search; see ``layerwise.finder.SearchOptions``. ``accumulate`` is how many
            batches ``optax.MultiSteps`` gathers for an update. With ``memory="host"`` the start
            is kept in the host's memory between trainings; that saves memory on the device only
            where nothing else holds ``params`` and ``state``.

    Returns:
        The curve, the suggested base rate and why; with multipliers, ``group_rates`` by the leaves'
        names.

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
    sweep; the suggestion is that of ``layerwise.finder.search``.
    """
    wanted = SearchOptions(**options)
    _check_ways(loss_fn, optimizer, update)
    _check_data(params, batches)
    if loss_fn is not None:
        _check_trainable(params)
    number = wanted.accumulate or 1
    if update is not None:
        step = update_step(update)
    else:
        at_rate = OptimizerAtRate(optimizer)
        state = at_rate.init(params) if state is None else state
        assert loss_fn is not None
        step = loss_step(loss_fn, at_rate, at_rate.factors(state), has_aux)
    if number > 1 and not accumulates(state):
        raise FinderError(
            f"accumulate={number}: this optimizer applies an update after every batch. Put it "
            "into optax.MultiSteps."
        )
    donates = update is None or not jit
    trainer = OptaxTrainer(
        jax.jit(step, donate_argnums=(0, 1, 2) if donates else ()) if jit else step,
        Trained(params, state, extra),
        accumulate=number,
        donates=donates,
        memory=wanted.memory,
    )
    return search(
        trainer,
        accumulated(batches, number),
        wanted,
        held_out=None if held_out is None else accumulated(held_out, number),
        group_factors=_group_factors(state, params),
    )


def _check_ways(loss_fn: object, optimizer: object, update: object) -> None:
    if (update is None) == (loss_fn is None) or (update is not None and optimizer is not None):
        raise FinderError(
            "Give find_lr either a loss function with an optimizer, or update= with None for the "
            "loss function."
        )
    for name, function in (("loss_fn", loss_fn), ("update", update)):
        if function is not None and not callable(function):
            raise FinderError(f"{name}={function!r} must be a function.")


def _check_data(params: optax.Params, batches: object) -> None:
    if not leaves_of(params).leaves:
        raise FinderError(
            f"There are no parameters in this {type(params).__name__}: give the tree of arrays "
            "that is trained."
        )
    if not isinstance(batches, Iterable) and not hasattr(batches, "__getitem__"):
        raise FinderError(f"batches={batches!r} must be the batches to train on, any iterable.")


def _check_trainable(params: optax.Params) -> None:
    for path, value in jax.tree_util.tree_flatten_with_path(params, is_leaf=is_variable)[0]:
        if is_network_state(value):
            raise FinderError(
                f"{name_of(path)!r} is a {type(value).__name__}, which the network changes by "
                "itself, and no parameter. Give nnx.state(model, nnx.Param), and the rest as "
                "extra=."
            )
    for leaf, value in zip(leaves_of(params).leaves, jax.tree.leaves(params), strict=True):
        if not jnp.issubdtype(jnp.result_type(value), jnp.inexact):
            raise FinderError(
                f"{leaf.name!r} has the type {jnp.result_type(value)}, and no gradient. Give the "
                "parameters alone, nnx.state(model, nnx.Param) or "
                "eqx.filter(model, eqx.is_inexact_array), and the rest as extra=."
            )


def _group_factors(state: optax.OptState, params: optax.Params) -> dict[str, float]:
    """Each leaf's rate as a factor on the base rate; empty without multipliers."""
    try:
        return learning_rates(state, params, learning_rate=1.0)
    except OptimizerError:
        return {}
