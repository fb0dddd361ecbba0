"""SGD over all groups at once."""

from collections.abc import Sequence

import torch
from torch import Tensor

from layerwise.torch.optim import _internals as internals
from layerwise.torch.optim._all_groups import AllGroups, GradientScaling, Options
from layerwise.torch.optim._batch import Batch
from layerwise.torch.optim._move import move


class SGD(AllGroups, torch.optim.SGD):
    """``torch.optim.SGD``, at the cost of one group for any number of them.

    The same arguments, groups, state, hooks and numbers, to the last bit: only the step is another,
    which updates all groups that differ in rate and weight decay alone at once.

    Examples:
        >>> import torch
        >>> from layerwise.torch import param_groups
        >>> from layerwise.torch.optim import SGD
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 1))
        >>> optimizer = SGD(param_groups(model, {"0": 0.1}, lr=0.5), momentum=0.9, fused=True)
        >>> [group["lr"] for group in optimizer.param_groups]
        [0.05, 0.5]

    Source: the update and the order of operations are those of ``torch.optim.SGD``.
    """

    _lists = 3
    _torch_class = torch.optim.SGD

    def _update_foreach(self, batch: Batch, options: Options) -> None:
        if options["maximize"]:
            batch.negate_gradients()
        batch.decay_weights(decoupled=False)
        direction = batch.gradients
        if options["momentum"]:
            buffers = self._move_buffers(batch, options)
            if options["nesterov"]:
                internals.add_(direction, buffers, alpha=options["momentum"])
            else:
                direction = buffers
        move(batch, direction, self._ones_for(batch))

    def _move_buffers(self, batch: Batch, options: Options) -> list[Tensor]:
        """The momentum of each parameter; the first one is its gradient."""
        parameters, gradients, buffers = batch.lists
        new = without_momentum(buffers)
        old = [place for place in range(len(buffers)) if place not in new]
        if old:
            moving = [buffers[place] for place in old]
            internals.multiply_(moving, options["momentum"])
            added = [gradients[place] for place in old]
            internals.add_(moving, added, alpha=1 - options["dampening"])
        for place in new:
            buffers[place] = gradients[place].detach().clone()
            self.state[parameters[place]]["momentum_buffer"] = buffers[place]
        return buffers

    def _update_fused(self, batch: Batch, options: Options, scaling: GradientScaling) -> None:
        for group, lists in batch.by_group():
            for first_step, (parameters, gradients, buffers) in by_momentum(lists):
                internals.fused_sgd_(
                    parameters,
                    gradients,
                    buffers,
                    lr=group.rate,
                    weight_decay=group.weight_decay,
                    momentum=options["momentum"],
                    dampening=options["dampening"],
                    nesterov=options["nesterov"],
                    maximize=options["maximize"],
                    is_first_step=first_step,
                    grad_scale=scaling.scale,
                    found_inf=scaling.found_inf,
                )
                if first_step:
                    for parameter, buffer in zip(parameters, buffers, strict=True):
                        self.state[parameter]["momentum_buffer"] = buffer


def by_momentum(lists: internals.Lists) -> list[tuple[bool, internals.Lists]]:
    """The lists apart for parameters whose first step this is, and for those with momentum."""
    _, gradients, buffers = lists
    new = without_momentum(buffers)
    if not new:
        return [(False, lists)]
    for place in new:
        buffers[place] = torch.empty_like(gradients[place])
    old = [place for place in range(len(buffers)) if place not in new]
    parts = ((True, list(new)), (False, old))
    return [
        (first, [[rows[place] for place in places] for rows in lists])
        for first, places in parts
        if places
    ]


def without_momentum(buffers: Sequence[Tensor | None]) -> dict[int, None]:
    """The places, in order, of the parameters that have no momentum yet."""
    return {place: None for place, buffer in enumerate(buffers) if buffer is None}
