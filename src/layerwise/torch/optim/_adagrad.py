"""Adagrad over all groups at once."""

import torch
from torch import Tensor

from layerwise.torch.optim import _internals as internals
from layerwise.torch.optim._all_groups import AllGroups, GradientScaling, Options
from layerwise.torch.optim._batch import Batch, advance, put, rows_of


class Adagrad(AllGroups, torch.optim.Adagrad):
    """``torch.optim.Adagrad``, at the cost of one group for any number of them.

    The same arguments, groups, state, hooks and numbers, to the last bit: only the step is another,
    which updates all groups that differ in rate and weight decay alone at once.

    Examples:
        >>> import torch
        >>> from layerwise.torch import param_groups
        >>> from layerwise.torch.optim import Adagrad
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 1))
        >>> optimizer = Adagrad(param_groups(model, {"0": 0.1}, lr=0.01), foreach=True)
        >>> [group["lr"] for group in optimizer.param_groups]
        [0.001, 0.01]

    Source: Duchi, Hazan and Singer, "Adaptive Subgradient Methods for Online Learning and
    Stochastic Optimization", JMLR 2011; the order of operations is that of ``torch.optim.Adagrad``.
    """

    _lists = 4
    _torch_class = torch.optim.Adagrad

    def _update_foreach(self, batch: Batch, options: Options) -> None:
        batch.view_complex_as_real()
        parameters, _, sums, steps = batch.lists
        if options["maximize"]:
            batch.negate_gradients()
        advance(steps)
        batch.decay_weights(decoupled=False)
        gradients = batch.gradients
        counts = [step.item() for step in steps]
        negative = [
            -rate / (1 + (count - 1) * options["lr_decay"])
            for rate, count in zip(batch.rates, counts, strict=True)
        ]
        internals.addcmul_(sums, gradients, gradients, value=1)
        scales = internals.square_root(sums)
        internals.add_(scales, options["eps"])
        internals.addcdiv_(parameters, scaled(batch, negative), scales)

    def _update_fused(self, batch: Batch, options: Options, scaling: GradientScaling) -> None:
        advance(batch.lists[-1])
        for group, lists in batch.by_group():
            internals.fused_adagrad_(
                *lists,
                lr=group.rate,
                lr_decay=options["lr_decay"],
                weight_decay=group.weight_decay,
                eps=options["eps"],
                maximize=options["maximize"],
                grad_scale=scaling.scale,
                found_inf=scaling.found_inf,
            )
        scaling.take_back(batch.lists[-1])


def scaled(batch: Batch, factors: list[float]) -> list[Tensor]:
    """Each gradient times a factor; in place where that is allowed, which can round otherwise."""
    found = list(batch.gradients)
    if batch.copied:
        own_factors: list[float] = rows_of(batch.copied, factors)
        internals.multiply_(rows_of(batch.copied, found), own_factors)
    copied = {group.start for group in batch.copied}
    rest = [group for group in batch.runs if group.start not in copied]
    if rest:
        rest_factors: list[float] = rows_of(rest, factors)
        put(rest, found, internals.multiplied(rows_of(rest, found), rest_factors))
    return found
