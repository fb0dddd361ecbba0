"""find_rates: a rate for every layer to train with, and arrays that are as they were."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Unpack

import jax
import jax.numpy as jnp
import numpy as np
import optax

from layerwise.errors import FinderError
from layerwise.finder import (
    Bands,
    RatesFinding,
    RatesKeywords,
    RatesOptions,
    check_one_rate,
    options_from,
    rules_to_search,
    search_rates,
)
from layerwise.multipliers import Layers, RuleSpec
from layerwise.optax._finder.bands_trainer import BandRates, BandsTrainer, BandsUpdate, RowBands
from layerwise.optax._finder.base_rate import OptimizerAtRate, OptimizerMaker
from layerwise.optax._finder.checks import (
    check_accumulate,
    check_data,
    check_trainable,
    group_factors,
)
from layerwise.optax._finder.given_arrays import check_all_there, check_there
from layerwise.optax._finder.trainer import (
    LossFunction,
    OptaxTrainer,
    Trained,
    Tree,
    loss_of,
    loss_step,
)
from layerwise.optax._plan import plan_of
from layerwise.optax._transforms.nesting import check_nesting


def find_rates(
    loss_fn: LossFunction,
    params: optax.Params,
    batches: Iterable[Tree],
    optimizer: OptimizerMaker | optax.GradientTransformation,
    *,
    rules: Mapping[str, float] | None = None,
    layers: Layers | None = None,
    state: optax.OptState | None = None,
    extra: Tree | None = None,
    has_aux: bool = False,
    jit: bool = True,
    held_out: Iterable[Tree] | None = None,
    **options: Unpack[RatesKeywords],
) -> RatesFinding:
    r"""Search for a rate for every layer of a parameter tree, and change nothing of the caller's.

    The levels of the tree are pooled to a few bands. Short trainings, compared on data that was
    held out, give the base rate and the multiplier $m_b$ of each band $b$, whose rate is

    $$\eta_b = m_b \cdot \text{base rate}$$

    A probe trains as ``with_multipliers`` would. The step is compiled once, with the rates as an
    argument; a copy is trained, and no array of the caller's is donated.

    The loss of held-out data is that of ``loss_fn`` as it is, so dropout that ``loss_fn`` applies
    is in it; the new ``extra`` that comes with it is dropped.

    Args:
        loss_fn: ``loss_fn(params, batch)``, a scalar; with ``extra=``, ``loss_fn(params, extra,
            batch)``, which returns the loss and the new extra.
        params: A tree of parameters.
        batches: The batches to train on, as many as there are, up to what a probe needs. Where
            the first axis of all arrays is that of the examples, single examples are held out, and
            the others drawn in new batches; else whole batches are held out. If that axis is
            another one, or the examples of a batch belong together (pairs, triplets), give
            ``divide="batches"``.
        optimizer: A function from a rate to an optimizer (``optax.adamw``, or
            ``lambda rate: optax.chain(...)``), or an optimizer made with
            ``optax.inject_hyperparams``; without multipliers.
        rules: Multipliers by name that the search keeps; they must be numbers, and 0 freezes. It
            finds all others.
        layers: Levels from input to head, each a name, a beginning of names, or several; by
            default ``layers_of(params)``.
        state: An optimizer state to start from; by default a new one.
        extra: What else the network changes: batch statistics, random keys.
        has_aux: Whether the loss function returns a pair, whose second part is ignored.
        jit: Whether to compile the step and the loss.
        held_out: Batches to compare rates on; worth giving where there is much data. By default a
            part of ``batches`` is held out, in several divisions. Of many batches, the first few
            are used.
        **options: How to search, such as ``budget=3000`` or ``horizon=250``: see
            ``layerwise.finder.RatesOptions``. ``accumulate`` is how many batches
            ``optax.MultiSteps`` gathers for an update. Neither it nor ``schedule`` is read from the
            optimizer.

    Returns:
        The base rate, rules for ``with_multipliers``, and why. Ctrl-C ends the search early; then
        they rest on the probes that are done.

    Raises:
        KeyboardInterrupt: Ctrl-C before the first probe is done.
        FinderError: An argument can't be used, nothing can be held out, the loss is not a scalar,
            or the budget is too small for one probe.
        MultiplierError: The rules or levels can't be used.
        OptimizerError: Multipliers can't go around this optimizer.

    Examples:
        >>> import jax, jax.numpy as jnp, optax
        >>> from layerwise.optax import find_rates, with_multipliers
        >>> x = jax.random.normal(jax.random.key(0), (8, 16, 4))
        >>> batches = [(one, one[:, :1]) for one in x]
        >>> params = {"body": jnp.full((4, 3), 0.1), "head": jnp.full((3, 1), 0.1)}
        >>> def loss_fn(params, batch):
        ...     inputs, targets = batch
        ...     return jnp.mean((inputs @ params["body"] @ params["head"] - targets) ** 2)
        >>> found = find_rates(loss_fn, params, batches, optax.adam, budget=400, progress=False)
        >>> found.updates <= 400
        True
        >>> optimizer = with_multipliers(optax.adam(found.learning_rate), found.rules)

    Source: which layers to tune depends on the shift between tasks (Lee et al., "Surgical
    Fine-Tuning", 2023); the search is that of ``layerwise.finder.search_rates``.
    """
    wanted = options_from(RatesOptions, options, "find_rates")
    if not callable(loss_fn):
        raise FinderError(f"loss_fn={loss_fn!r} must be a function.")
    check_data(params, batches)
    check_all_there(params, state, extra)
    check_trainable(params)
    at_rate = OptimizerAtRate(optimizer)
    state = at_rate.init(params) if state is None else state
    update_at = at_rate.updating(state)
    check_one_rate({f"rate {n}": factor for n, factor in enumerate(update_at.factors)})
    check_one_rate(group_factors(state, params))
    check_accumulate(wanted.accumulate or 1, state)
    found = plan_of(RuleSpec(rules_to_search(rules), layers=layers), params)
    check_nesting(at_rate.made(), state, found, searching=True)
    bands = Bands.of(found.plan, wanted.most_bands, rules)
    rows = RowBands.of(found, bands)
    step = loss_step(loss_fn, BandsUpdate(update_at, rows), has_aux)
    trainer: OptaxTrainer[BandRates] = OptaxTrainer(
        step,
        Trained(params, state, extra),
        jit=jit,
        accumulate=wanted.accumulate or 1,
        donates=True,
        memory=wanted.memory,
    )
    return search_rates(
        BandsTrainer(trainer, rows, loss_of(loss_fn, has_aux), jit=jit),
        batches,
        bands,
        wanted,
        held_out=held_out,
        join=partial(_joined, compiled=jit) if wanted.divide == "examples" else None,
    )


def _joined(arrays: Sequence[object], *, compiled: bool) -> Tree | None:
    """Arrays joined along their first axis; None if they can't be.

    That is so if one of them is a sparse array or another framework's tensor, or is split over
    devices and can't be read on the host.

    Args:
        arrays: The arrays.
        compiled: Whether the step is. Then they are joined in the host's memory, from which batches
            are taken many times faster than by JAX outside of a compiled function. A step that is
            not compiled may need JAX arrays, for ``.at[...]``.

    Raises:
        FinderError: The memory of an array is gone.
    """
    check_there("The list of batches", arrays)
    known = [array for array in arrays if isinstance(array, np.ndarray | jax.Array)]
    if len(known) < len(arrays):
        return None
    of_jax = [array for array in known if isinstance(array, jax.Array)]
    # JAX takes no examples from an array whose layout over devices is a part of its type.
    laid_out = any(map(_is_laid_out, of_jax))
    if all(map(_same_on_host, of_jax)) and (compiled or laid_out or not of_jax):
        return np.concatenate(list(map(np.asarray, known)))
    return None if laid_out else jnp.concatenate(known)


def _same_on_host(array: jax.Array) -> bool:
    """Whether NumPy can hold an array of JAX's without any change of its type."""
    special = jnp.issubdtype(array.dtype, jax.dtypes.extended)  # such as random keys
    return not special and not array.weak_type and array.is_fully_addressable


def _is_laid_out(array: jax.Array) -> bool:
    """Whether an array lies on a mesh whose axes are explicit, as ``jax.make_mesh`` makes them."""
    kinds = getattr(getattr(array.sharding, "mesh", None), "axis_types", None) or ()
    return any(getattr(kind, "name", None) == "Explicit" for kind in kinds)
