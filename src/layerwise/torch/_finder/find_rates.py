"""find_rates: a rate for every layer to train with, and a model that is as it was."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar, Unpack

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import LBFGS, Optimizer

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
from layerwise.torch._finder.bands_trainer import BandOf, BandsTrainer, groups_by_band
from layerwise.torch._finder.checks import (
    check_parts,
    check_precision,
    check_training,
    device_of,
    stateful,
)
from layerwise.torch._finder.course import course_of
from layerwise.torch._finder.factors import factors_now
from layerwise.torch._finder.processes import Processes, from_workers
from layerwise.torch._finder.snapshot import Stateful, as_before
from layerwise.torch._finder.trainer import trainer_of
from layerwise.torch._finder.update import Autocast, LossFunction, Update
from layerwise.torch._groups.param_groups import plan_of_rules
from layerwise.torch._optimizer.attached_schedulers import schedulers_with
from layerwise.torch._optimizer.inner_optimizer import hookable
from layerwise.torch._optimizer.optimizer_hooks import hands_off
from layerwise.torch._optimizer.optimizer_set import OptimizerSet
from layerwise.torch._parameters import SEPARATOR, NamedTensor, named_tensors, plain
from layerwise.torch._scheduler.frozen_gradients import released_by_others

Batch = TypeVar("Batch")


def find_rates(
    model: nn.Module,
    optimizer: Optimizer,
    loss: LossFunction | None = None,
    loader: Iterable[Batch] | None = None,
    *,
    rules: Mapping[str, float] | None = None,
    layers: Layers | None = None,
    step: Callable[[Batch], object] | None = None,
    held_out: Iterable[Batch] | None = None,
    device: torch.device | str | None = None,
    autocast: Autocast = None,
    scaler: GradScaler | None = None,
    scheduler: Stateful | None = None,
    also: Iterable[nn.Module | Stateful] = (),
    **options: Unpack[RatesKeywords],
) -> RatesFinding:
    r"""Search for a rate for every layer of a model, and leave model and optimizer as they were.

    The levels of the model are pooled to a few bands. Short trainings, compared on data that was
    held out, give the base rate and the multiplier $m_b$ of each band $b$, whose rate is

    $$\eta_b = m_b \cdot \text{base rate}$$

    What is restored is what ``find_lr`` restores.

    Args:
        model: The model; it may be compiled, or wrapped by ``DistributedDataParallel``. All ranks
            call this and get the same result, from losses that are means over the ranks.
        optimizer: Any optimizer whose groups have one rate and an ``lr``.
        loss: A loss function ``(outputs, targets)``; None if the outputs have a ``loss``. On
            held-out data it is measured in evaluation mode, where it must take the outputs too.
        loader: The batches. A tuple or list has inputs and, last, targets; a mapping has the
            model's keyword arguments, and is the targets too; anything else is inputs and targets.
            Where the first axis of all arrays is that of the examples, single examples are held
            out, and the others drawn in new batches; else whole batches are held out. If that axis
            is another one (``batch_first=False``), or the examples of a batch belong together
            (pairs, triplets), give ``divide="batches"``.
        rules: Multipliers by name that the search keeps; they must be numbers, and 0 freezes. It
            finds all others.
        layers: Levels from input to head, each a name, a beginning of names, or several; by
            default ``layers_of(model)``.
        step: Instead of ``loss``, a whole training step: ``step(batch)`` does forward, backward
            and ``optimizer.step()`` on a batch as it comes from the loader, and returns its loss.
            Held-out batches are then given to it at the rate 0, in training mode.
        held_out: Batches to compare rates on; worth giving where there is much data. By default a
            part of what ``loader`` gives is held out, in several divisions. Of many batches, the
            first few are used.
        device: Where batches are moved to; by default where the model's first parameter is.
        autocast: A type to compute in (``torch.bfloat16``), or a ``torch.autocast``.
        scaler: The ``GradScaler``. A batch whose update it skips is trained again.
        scheduler: The scheduler of the training, whose shape the probes follow. It is restored too,
            but a ``step`` must leave a scheduler of PyTorch's alone, since bands have groups of
            their own during the search. By default that is a ``ScheduleLR`` or a scheduler of
            PyTorch that the optimizer has.
        also: Whatever else ``step`` changes: modules, and objects with a ``state_dict``.
        **options: How to search, such as ``budget=3000`` or ``horizon=250``: see
            ``layerwise.finder.RatesOptions``.

    Returns:
        The base rate, rules for ``param_groups``, and why. Ctrl-C ends the search early; then
        they rest on the probes that are done.

    Raises:
        KeyboardInterrupt: Ctrl-C before the first probe is done.
        FinderError: An argument can't be used, nothing can be held out, the loss is not a scalar,
            or the budget is too small for one probe.
        MultiplierError: The rules or levels can't be used.

    Examples:
        >>> import torch
        >>> from layerwise.torch import find_rates, param_groups
        >>> _ = torch.manual_seed(0)
        >>> x = torch.randn(128, 4)
        >>> batches = list(zip(x.split(16), (x[:, :1] > 0).float().split(16)))
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 1))
        >>> optimizer = torch.optim.Adam(model.parameters())
        >>> loss = torch.nn.functional.binary_cross_entropy_with_logits
        >>> found = find_rates(model, optimizer, loss, batches, budget=400, progress=False)
        >>> found.updates <= 400
        True
        >>> groups = param_groups(model, found.rules, lr=found.learning_rate)
        >>> optimizer = torch.optim.Adam(groups)

    Source: which layers to tune depends on the shift between tasks (Lee et al., "Surgical
    Fine-Tuning", 2023); the search is that of ``layerwise.finder.search_rates``.
    """
    wanted, also = options_from(RatesOptions, options, "find_rates"), tuple(also)
    alone = _only_optimizer(optimizer)
    check_parts(model, alone, loader)
    assert loader is not None
    factors = _check_groups(optimizer, scheduler)
    check_training(alone, loss, step, wanted.accumulate, autocast)
    check_precision(autocast, scaler)
    others = stateful(*also)
    schedulers = stateful(*schedulers_with(scheduler, [optimizer]))
    bands, members, band_of = _bands_of(model, optimizer, rules, layers, wanted.most_bands)
    course = None
    if wanted.asks_optimizer:
        course = course_of(optimizer, scheduler, factors, wanted.horizon)
    where = device_of(model, device)
    ranks = Processes(model, where)
    update = Update(model, optimizer, loss, device=where, autocast=autocast, scaler=scaler)
    with (
        released_by_others(optimizer),
        as_before(optimizer, schedulers),  # which can't see divided groups
        hands_off(optimizer),
        groups_by_band(optimizer, band_of) as group_bands,
    ):
        trainer = trainer_of(
            update,
            step,
            factors=[1.0] * len(group_bands),
            also=also,
            stateful=others,
            loaders=(loader, held_out),
            ranks=ranks,
            memory=wanted.memory,
        )
        return search_rates(
            BandsTrainer(
                trainer,
                group_bands,
                members=members,
                model=model,
                loss=None if step is not None else update.loss_without_update,
                gathers=step is None,
                mean=ranks.mean,
                on_host=wanted.memory == "host",
            ),
            ranks.together(from_workers(loader)),
            bands,
            replace(wanted, progress=wanted.progress and ranks.rank == 0),
            held_out=None if held_out is None else ranks.together(from_workers(held_out)),
            course=course,
            # On several ranks only whole batches are divided, so that all have equally many.
            join=_joined if ranks.size == 1 and wanted.divide == "examples" else None,
            targets_at=-1 if step is None else None,
        )


def _only_optimizer(optimizer: object) -> OptimizerSet:
    """The optimizer as a set of one.

    Raises:
        FinderError: It is no optimizer, or there are several.
    """
    if not isinstance(optimizer, Optimizer):
        raise FinderError(
            f"{type(optimizer).__name__} is not a torch.optim.Optimizer. find_rates takes one "
            "optimizer. With several, search with one after the other: parameters that an "
            "optimizer doesn't have stay as they are."
        )
    return OptimizerSet.of(optimizer, FinderError)


def _bands_of(
    model: nn.Module,
    optimizer: Optimizer,
    rules: Mapping[str, float] | None,
    layers: Layers | None,
    most_bands: int,
) -> tuple[Bands, list[list[Tensor]], dict[int, BandOf]]:
    """The bands of a model, the parameters of each, and the band of a parameter by its ``id``.

    Raises:
        FinderError: The rules can't be used, or no parameter is left to search for.
        MultiplierError: The rules or levels can't be used.
    """
    tensors = named_tensors(model)
    layers = _only_layer(tensors) if layers is None else layers
    plan = plan_of_rules(tensors, RuleSpec(rules_to_search(rules), layers=layers), model=model)
    known = {id(tensor) for group in optimizer.param_groups for tensor in group["params"]}
    held = {named.short for named in tensors if id(named.tensor) not in known}
    bands = Bands.of(plan, most_bands, rules, held)
    by_name = {named.short: named.tensor for named in tensors}
    members = [[by_name[name] for name in names] for names in bands.parameters]
    band_of = {id(by_name[name]): BandOf(None, m) for name, m in bands.fixed.items()}
    band_of |= {id(t): BandOf(number) for number, band in enumerate(members) for t in band}
    return bands, members, band_of


def _only_layer(tensors: Sequence[NamedTensor]) -> list[list[str]] | None:
    """The one level of a model with a single layer, whose names tell no depth; else None."""
    names = [named.short for named in tensors if named.trains]
    layers = {plain(name).rpartition(SEPARATOR)[0] for name in names}
    return [names] if len(layers) == 1 else None


def _check_groups(optimizer: Optimizer, scheduler: object) -> list[float]:
    """The factor of each group's rate on the base rate, which must be the same for all groups.

    Raises:
        FinderError: The optimizer is LBFGS, or has another one within it with groups of its own,
            or its groups have several rates.
    """
    if isinstance(optimizer, LBFGS):
        raise FinderError(
            "LBFGS has one group and one rate for all parameters, so layers can't learn at rates "
            "of their own. Search with another optimizer."
        )
    steps = hookable(optimizer)
    if within := [one for one in vars(steps).values() if isinstance(one, Optimizer)]:
        raise FinderError(
            f"{type(steps).__name__} makes its updates by {type(within[0]).__name__}, with groups "
            "of its own that no rate of a band reaches. Search with "
            f"{type(within[0]).__name__} alone: what is found is for both."
        )
    factors = factors_now(optimizer, scheduler)
    check_one_rate(factors)
    return list(factors.values())


def _joined(
    arrays: Sequence[Tensor | npt.NDArray[np.generic]],
) -> Tensor | npt.NDArray[np.generic] | None:
    """Arrays joined along their first axis; None if they are sparse, or of several kinds."""
    tensors = [array for array in arrays if isinstance(array, Tensor)]
    if tensors and len(tensors) == len(arrays):
        strided = all(tensor.layout == torch.strided for tensor in tensors)
        return torch.cat(tensors) if strided else None
    found = [array for array in arrays if isinstance(array, np.ndarray)]
    return np.concatenate(found) if len(found) == len(arrays) else None
