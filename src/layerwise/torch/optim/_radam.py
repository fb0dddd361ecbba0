"""RAdam over all groups at once."""

import torch
from torch import Tensor

from layerwise.torch.optim import _internals as internals
from layerwise.torch.optim._all_groups import AllGroups, Options
from layerwise.torch.optim._batch import Batch, advance
from layerwise.torch.optim._moments import correction_on_device, update_moments

SURE = 5.0
"""The length of the average, in steps, above which its variance is small enough to divide by."""


class RAdam(AllGroups, torch.optim.RAdam):
    """``torch.optim.RAdam``, at the cost of one group for any number of them.

    The same arguments, groups, state, hooks and numbers, to the last bit: only the step is another,
    which updates all groups that differ in rate and weight decay alone at once.

    Examples:
        >>> import torch
        >>> from layerwise.torch import param_groups
        >>> from layerwise.torch.optim import RAdam
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 1))
        >>> optimizer = RAdam(param_groups(model, {"0": 0.1}, lr=1e-3), foreach=True)
        >>> [group["lr"] for group in optimizer.param_groups]
        [0.0001, 0.001]

    Source: Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond", ICLR 2020; the
    order of operations is that of ``torch.optim.RAdam``.
    """

    _lists = 5
    _torch_class = torch.optim.RAdam

    def _update_foreach(self, batch: Batch, options: Options) -> None:
        beta1, beta2 = options["betas"]
        parameters, _, _, _, steps = batch.lists
        advance(steps)
        batch.view_complex_as_real()
        if options["maximize"]:
            batch.negate_gradients()
        batch.decay_weights(decoupled=options["decoupled_weight_decay"])
        parameters, gradients, means, squares, _ = batch.lists
        update_moments(means, squares, gradients, beta1, beta2)
        scales = internals.square_root(squares)
        internals.add_(scales, options["eps"])
        find_sizes = sizes_on_device if options["capturable"] else sizes
        rectified, plain = find_sizes(steps, batch, beta1, beta2)
        internals.divide_(scales, rectified)
        internals.invert_(scales)
        internals.add_(scales, plain)
        internals.addcmul_(parameters, means, scales)


def sizes(
    steps: list[Tensor], batch: Batch, beta1: float, beta2: float
) -> tuple[list[float], list[float]]:
    """The step sizes of each parameter: with the variance's rectification, and without.

    One of the two is 0: while the average over squares is shorter than 5 steps, the step is that
    of momentum alone.
    """
    longest = 2 / (1 - beta2) - 1
    known = {}
    for count in {step.item() for step in steps}:
        power = beta2**count
        length = longest - 2 * count * power / (1 - power)
        factor: float = 0
        if length > SURE:
            above = (length - 4) * (length - 2) * longest
            factor = (above / ((longest - 4) * (longest - 2) * length)) ** 0.5
        known[count] = factor, 0 if factor > 0 else 1.0, 1 - beta1**count, (1 - power) ** 0.5
    rectified, plain = [], []
    for step, rate in zip(steps, batch.rates, strict=True):
        factor, momentum_only, first, root = known[step.item()]
        rectified.append(root * (rate * factor / first) * -1)
        plain.append((rate * momentum_only / first) * -1)
    return rectified, plain


def sizes_on_device(
    steps: list[Tensor], batch: Batch, beta1: float, beta2: float
) -> tuple[list[Tensor], list[Tensor]]:
    """The same as tensors, without waiting for the device."""
    longest = 2 / (1 - beta2) - 1
    lengths = list(internals.power(beta2, steps))
    internals.multiply_(lengths, steps)
    internals.multiply_(lengths, 2)
    internals.divide_(lengths, correction_on_device(steps, beta2))
    internals.negate_(lengths)
    internals.add_(lengths, longest)

    factors = list(internals.subtracted(lengths, 4))
    internals.multiply_(factors, internals.subtracted(lengths, 2))
    internals.multiply_(factors, longest)
    internals.divide_(factors, internals.multiplied(lengths, (longest - 4) * (longest - 2)))
    internals.square_root_(factors)
    pairs = zip(factors, lengths, strict=True)
    factors = [torch.where(length > SURE, factor, 0.0) for factor, length in pairs]

    first = correction_on_device(steps, beta1)
    plain = [torch.where(factor > 0, 0.0, 1.0) for factor in factors]
    internals.multiply_(plain, batch.rates)
    internals.divide_(plain, first)
    internals.negate_(plain)

    rectified = correction_on_device(steps, beta2)
    internals.square_root_(rectified)
    internals.multiply_(rectified, batch.rates)
    internals.multiply_(rectified, factors)
    internals.negate_(rectified)
    internals.divide_(rectified, first)
    return rectified, plain
