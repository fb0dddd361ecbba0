"""NAdam over all groups at once."""

import torch
from torch import Tensor

from layerwise.torch.optim import _internals as internals
from layerwise.torch.optim._all_groups import AllGroups, Options
from layerwise.torch.optim._batch import Batch, advance
from layerwise.torch.optim._moments import correction, correction_on_device, update_moments

DECAY = 0.96
"""By which the momentum's distance from its final value falls; Dozat gives this number."""


class NAdam(AllGroups, torch.optim.NAdam):
    """``torch.optim.NAdam``, at the cost of one group for any number of them.

    The same arguments, groups, state, hooks and numbers, to the last bit: only the step is another,
    which updates all groups that differ in rate and weight decay alone at once.

    Examples:
        >>> import torch
        >>> from layerwise.torch import param_groups
        >>> from layerwise.torch.optim import NAdam
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 1))
        >>> optimizer = NAdam(param_groups(model, {"0": 0.1}, lr=1e-3), foreach=True)
        >>> [group["lr"] for group in optimizer.param_groups]
        [0.0001, 0.001]

    Source: Dozat, "Incorporating Nesterov Momentum into Adam", ICLR workshop 2016; the order of
    operations is that of ``torch.optim.NAdam``.
    """

    _lists = 6
    _torch_class = torch.optim.NAdam

    def _update_foreach(self, batch: Batch, options: Options) -> None:
        beta1, beta2 = options["betas"]
        batch.view_complex_as_real()
        parameters, _, means, squares, products, steps = batch.lists
        if options["maximize"]:
            batch.negate_gradients()
        advance(steps)
        batch.decay_weights(decoupled=options["decoupled_weight_decay"])
        gradients = batch.gradients
        update_moments(means, squares, gradients, beta1, beta2)
        scales = internals.square_root(squares)
        if options["capturable"]:
            now, following = momenta_on_device(steps, beta1, options["momentum_decay"])
            roots = correction_on_device(steps, beta2)
            internals.square_root_(roots)
            internals.multiply_(products, now)
            internals.divide_(scales, roots)
            internals.add_(scales, options["eps"])
            moves = internals.multiplied(gradient_sizes(now, products, batch), gradients)
            internals.addcmul_(moves, mean_sizes(following, products, batch), means)
            internals.addcdiv_(parameters, moves, scales)
            return
        decay = options["momentum_decay"]
        known = {
            count: (momentum(count, beta1, decay), momentum(count + 1, beta1, decay))
            for count in {step.item() for step in steps}
        }
        pairs = [known[step.item()] for step in steps]
        internals.multiply_(products, [now for now, _ in pairs])
        internals.divide_(scales, [c**0.5 for c in correction(steps, beta2)])
        internals.add_(scales, options["eps"])
        done = [product.item() for product in products]
        rows = list(zip(batch.rates, pairs, done, strict=True))
        sizes = [(rate * (1.0 - now) / (1.0 - product)) * -1 for rate, (now, _), product in rows]
        internals.addcdiv_(parameters, gradients, scales, sizes)
        sizes = [
            (rate * after / (1.0 - product * after)) * -1 for rate, (_, after), product in rows
        ]
        internals.addcdiv_(parameters, means, scales, sizes)


def momentum(count: float, beta1: float, momentum_decay: float) -> float:
    r"""The momentum of a step, $\beta_1 (1 - 0.96^{t \psi} / 2)$ with the momentum decay $\psi$."""
    left: float = DECAY ** (count * momentum_decay)
    return beta1 * (1.0 - 0.5 * left)


def momenta_on_device(
    steps: list[Tensor], beta1: float, momentum_decay: float
) -> tuple[list[Tensor], list[Tensor]]:
    """The momentum of this step and of the following one, without waiting for the device."""
    exponents = list(internals.multiplied(steps, momentum_decay))
    found = []
    for _ in range(2):
        momenta = list(internals.power(DECAY, exponents))
        internals.multiply_(momenta, -0.5)
        internals.add_(momenta, 1.0)
        internals.multiply_(momenta, beta1)
        found.append(momenta)
        internals.add_(exponents, momentum_decay)
    return found[0], found[1]


def gradient_sizes(now: list[Tensor], products: list[Tensor], batch: Batch) -> list[Tensor]:
    """What the gradients are multiplied by: -rate (1 - momentum) / (1 - product of momenta)."""
    internals.subtract_(now, 1.0)
    internals.multiply_(now, batch.rates)
    below = list(internals.subtracted(products, 1.0))
    internals.negate_(below)
    internals.divide_(now, below)
    return now


def mean_sizes(following: list[Tensor], products: list[Tensor], batch: Batch) -> list[Tensor]:
    """What the means are multiplied by: -rate momentum' / (1 - product of momenta momentum')."""
    below = list(internals.multiplied(products, following))
    internals.multiply_(following, batch.rates)
    internals.subtract_(below, 1.0)
    internals.divide_(following, below)
    return following
