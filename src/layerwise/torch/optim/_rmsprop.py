"""RMSprop over all groups at once."""

import torch

from layerwise.torch.optim import _internals as internals
from layerwise.torch.optim._all_groups import AllGroups, Options
from layerwise.torch.optim._batch import Batch, advance
from layerwise.torch.optim._move import move


class RMSprop(AllGroups, torch.optim.RMSprop):
    """``torch.optim.RMSprop``, at the cost of one group for any number of them.

    The same arguments, groups, state, hooks and numbers, to the last bit: only the step is another,
    which updates all groups that differ in rate and weight decay alone at once.

    Examples:
        >>> import torch
        >>> from layerwise.torch import param_groups
        >>> from layerwise.torch.optim import RMSprop
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 1))
        >>> optimizer = RMSprop(param_groups(model, {"0": 0.1}, lr=1e-3), foreach=True)
        >>> [group["lr"] for group in optimizer.param_groups]
        [0.0001, 0.001]

    Source: Hinton, Srivastava and Swersky, "Neural Networks for Machine Learning", lecture 6, 2012;
    the order of operations is that of ``torch.optim.RMSprop``.
    """

    _lists = 6
    _torch_class = torch.optim.RMSprop

    def _update_foreach(self, batch: Batch, options: Options) -> None:
        batch.view_complex_as_real()
        parameters, _, squares, buffers, means, steps = batch.lists
        if options["maximize"]:
            batch.negate_gradients()
        advance(steps)
        batch.decay_weights(decoupled=False)
        gradients, alpha = batch.gradients, options["alpha"]
        internals.multiply_(squares, alpha)
        internals.addcmul_(squares, gradients, gradients, value=1 - alpha)
        if options["centered"]:
            internals.lerp_(means, gradients, 1 - alpha)
            scales = internals.addcmul(squares, means, means, value=-1)
            internals.square_root_(scales)
        else:
            scales = internals.square_root(squares)
        internals.add_(scales, options["eps"])
        negative = [-rate for rate in batch.rates]
        on_device = options["capturable"] and isinstance(negative[0], torch.Tensor)
        if options["momentum"] > 0:
            internals.multiply_(buffers, options["momentum"])
            internals.addcdiv_(buffers, gradients, scales)
            if on_device:
                moves = internals.multiplied(buffers, negative)
                internals.add_(parameters, moves)
            else:
                move(batch, buffers, self._ones_for(batch))
        elif on_device:
            internals.divide_(scales, negative)
            internals.addcdiv_(parameters, gradients, scales)
        else:
            internals.addcdiv_(parameters, gradients, scales, negative)
