"""find_lr: a base rate to train with, and a model that is as it was."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from typing import TypeVar, Unpack

import torch
from torch import nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from layerwise.errors import FinderError
from layerwise.finder import (
    LRFinding,
    SearchKeywords,
    SearchOptions,
    accumulated,
    options_from,
    search,
)
from layerwise.torch._finder.checks import (
    check_parts,
    check_precision,
    check_training,
    device_of,
    stateful,
)
from layerwise.torch._finder.course import course_of
from layerwise.torch._finder.factors import searched_factors
from layerwise.torch._finder.processes import Processes, from_workers
from layerwise.torch._finder.snapshot import Stateful
from layerwise.torch._finder.trainer import trainer_of
from layerwise.torch._finder.update import Autocast, LossFunction, Update
from layerwise.torch._groups.shared_tensors import separate_tensors
from layerwise.torch._optimizer.attached_schedulers import schedulers_with
from layerwise.torch._optimizer.optimizer_hooks import hands_off
from layerwise.torch._optimizer.optimizer_set import Optimizers, OptimizerSet
from layerwise.torch._scheduler.frozen_gradients import released_by_others

Batch = TypeVar("Batch")


def find_lr(
    model: nn.Module,
    optimizer: Optimizers,
    loss: LossFunction | None = None,
    loader: Iterable[Batch] | None = None,
    *,
    step: Callable[[Batch], object] | None = None,
    held_out: Iterable[Batch] | None = None,
    device: torch.device | str | None = None,
    autocast: Autocast = None,
    scaler: GradScaler | None = None,
    scheduler: Stateful | None = None,
    hold: Optimizer | Iterable[Optimizer] = (),
    also: Iterable[nn.Module | Stateful] = (),
    **options: Unpack[SearchKeywords],
) -> LRFinding:
    r"""Search for a base learning rate for a model and its optimizer, and leave both as they were.

    Every group $g$ keeps its ratio $f_g$ to the base rate: its updates have the rate

    $$\eta_g = f_g \cdot \text{base rate}$$

    The base rate is what ``param_groups`` was given as ``lr``. For other groups it is the
    optimizer's default ``lr`` if a group has that, and else the highest rate. For a group whose
    rate a scheduler has changed, ``initial_lr`` counts. Of several optimizers it is the base rate
    of the first, and the others keep their ratio to it, unless ``hold`` keeps their rates.

    Weights, gradients, buffers, optimizer state, rates, training modes, the scaler and every
    random state are restored in place, even after an error or an interrupt. An iterator that has
    been drawn from can't be restored, nor what a dataset or ``step`` changes elsewhere.

    Args:
        model: The model; it may be compiled, or wrapped by ``DistributedDataParallel``. All ranks
            call this and get the same result, from losses that are means over the ranks.
        optimizer: Any optimizer whose groups have an ``lr``. Or several, as a list or a mapping by
            names of your own: all step on each update, unless ``step`` says otherwise.
        loss: A loss function ``(outputs, targets)``; None if the outputs have a ``loss``.
        loader: The batches. A tuple or list has inputs and, last, targets; a mapping has the
            model's keyword arguments, and is the targets too; anything else is inputs and targets.
        step: Instead of ``loss``, a whole training step: ``step(batch)`` does forward, backward
            and ``optimizer.step()`` on a batch as it comes from the loader, and returns its loss.
        held_out: Batches to score the probes on; worth giving where the data is so small that a
            probe goes through it more than once. Of many batches, the first few are used.
        device: Where batches are moved to; by default where the model's first parameter is.
        autocast: A type to compute in (``torch.bfloat16``), or a ``torch.autocast``.
        scaler: The ``GradScaler``. A batch whose update it skips is trained again.
        scheduler: The scheduler of the training; it is restored too, if ``step`` steps it. The
            probes follow its shape. By default that is a ``ScheduleLR`` or a scheduler of PyTorch
            that the optimizer has.
        hold: Those of several optimizers whose rates stay as they are during the search.
        also: Whatever else ``step`` changes: modules, and objects with a ``state_dict``.
        **options: How to search, such as ``steps=50`` or ``method="sweep"``: see
            ``layerwise.finder.SearchOptions``. ``memory`` says where the copies of weights and
            optimizer state are kept, and ``accumulate`` how many batches make one update.

    Returns:
        The curve, the suggested base rate and why, and ``group_rates`` by the groups' names.

    Raises:
        FinderError: An argument can't be used, there is no batch, or the loss is not a scalar.

    Examples:
        >>> import torch
        >>> from layerwise.torch import find_lr, param_groups
        >>> _ = torch.manual_seed(0)
        >>> x = torch.randn(64, 4)
        >>> batches = [(x[i : i + 16], x[i : i + 16, :1]) for i in range(0, 64, 16)]
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 1))
        >>> optimizer = torch.optim.SGD(param_groups(model, {"0": 0.5}, lr=1.0))
        >>> loss = torch.nn.functional.mse_loss
        >>> found = find_lr(model, optimizer, loss, batches, steps=50, progress=False)
        >>> 1e-3 < found.suggestion < 1
        True
        >>> list(found.group_rates)
        ['0', 'default']

    Source: L. N. Smith, "Cyclical Learning Rates for Training Neural Networks" (2017), for the
    sweep; the suggestion is that of ``layerwise.finder.search``.
    """
    wanted, also = options_from(SearchOptions, options, "find_lr"), tuple(also)
    optimizers = OptimizerSet.of(optimizer, FinderError)
    check_parts(model, optimizers, loader)
    assert loader is not None
    check_training(optimizers, loss, step, wanted.accumulate, autocast)
    check_precision(autocast, scaler)
    where = device_of(model, device)
    ranks = Processes(model, where)
    factors = searched_factors(optimizers, hold, scheduler)
    course = None
    if wanted.asks_optimizer:
        course = course_of(optimizers, scheduler, list(factors.values()), wanted.horizon)
    update = Update(model, optimizers, loss, device=where, autocast=autocast, scaler=scaler)
    for one in optimizers.optimizers:
        separate_tensors(one)
    trainer = trainer_of(
        update,
        step,
        factors=list(factors.values()),
        also=also,
        stateful=stateful(*schedulers_with(scheduler, optimizers.optimizers), *also),
        loaders=(loader, held_out),
        ranks=ranks,
        memory=wanted.memory,
    )

    def together(batches: Iterable[Batch]) -> Iterable[object]:
        """One item for each update, on every rank as many."""
        batches = from_workers(batches)
        if step is not None:
            return ranks.together(batches)
        return ranks.together(accumulated(batches, wanted.accumulate or 1))

    with ExitStack() as stack:
        for one in optimizers.optimizers:
            stack.enter_context(released_by_others(one, optimizers.optimizers))
            stack.enter_context(hands_off(one))
        return search(
            trainer,
            together(loader),
            replace(wanted, progress=wanted.progress and ranks.rank == 0),
            held_out=None if held_out is None else together(held_out),
            group_factors={name: f for name, f in factors.items() if f is not None},
            course=course,
        )
