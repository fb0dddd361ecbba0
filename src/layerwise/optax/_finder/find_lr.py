"""find_lr: a base rate to train with, and arrays that are as they were."""

from collections.abc import Iterable
from typing import Unpack

import optax

from layerwise.errors import FinderError
from layerwise.finder import (
    LRFinding,
    SearchKeywords,
    SearchOptions,
    accumulated,
    options_from,
    search,
)
from layerwise.optax._finder.base_rate import OptimizerAtRate, OptimizerMaker
from layerwise.optax._finder.checks import (
    check_accumulate,
    check_data,
    check_one_copy,
    check_trainable,
    group_factors,
)
from layerwise.optax._finder.given_arrays import check_all_there
from layerwise.optax._finder.trainer import (
    LossFunction,
    OptaxTrainer,
    Trained,
    Tree,
    Update,
    loss_step,
    update_step,
)


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
    """Search for a base learning rate for a loss function, its parameters and an optimizer.

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
        held_out: Batches to score the probes on; worth giving where the data is so small that a
            probe goes through it more than once. Of many batches, the first few are used.
        **options: How to search; see ``layerwise.finder.SearchOptions``. ``accumulate`` is how many
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
    wanted = options_from(SearchOptions, options, "find_lr")
    _check_ways(loss_fn, optimizer, update)
    check_data(params, batches)
    check_all_there(params, state, extra)
    if loss_fn is not None:
        check_trainable(params)
    number = wanted.accumulate or 1
    if update is not None:
        step = update_step(update)
    else:
        at_rate = OptimizerAtRate(optimizer)
        state = at_rate.init(params) if state is None else state
        check_one_copy(state)
        assert loss_fn is not None
        step = loss_step(loss_fn, at_rate.updating(state), has_aux)
    check_accumulate(number, state)
    donates = update is None or not jit
    trainer = OptaxTrainer(
        step,
        Trained(params, state, extra),
        jit=jit,
        accumulate=number,
        donates=donates,
        memory=wanted.memory,
    )
    return search(
        trainer,
        accumulated(batches, number),
        wanted,
        held_out=None if held_out is None else accumulated(held_out, number),
        group_factors=group_factors(state, params),
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
