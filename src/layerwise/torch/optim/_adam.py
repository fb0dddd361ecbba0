"""Adam and AdamW over all groups at once."""

import torch

from layerwise.torch.optim import _internals as internals
from layerwise.torch.optim._all_groups import AllGroups, GradientScaling, Options
from layerwise.torch.optim._batch import Batch, advance
from layerwise.torch.optim._moments import correction, correction_on_device, update_moments


class _AllGroupsAdam(AllGroups):
    """The step that Adam and AdamW share."""

    _lists = 6
    _torch_class = torch.optim.Adam

    def _update_foreach(self, batch: Batch, options: Options) -> None:
        beta1, beta2 = options["betas"]
        batch.view_complex_as_real()
        parameters, _, means, squares, largest, steps = batch.lists
        if options["maximize"]:
            batch.negate_gradients()
        advance(steps)
        batch.decay_weights(decoupled=options["decoupled_weight_decay"])
        update_moments(means, squares, batch.gradients, beta1, beta2)
        if options["amsgrad"]:
            internals.maximum_(largest, squares)
        scales = internals.square_root(largest if options["amsgrad"] else squares)
        if options["capturable"]:
            tensors = list(internals.power(beta1, steps))
            internals.subtract_(tensors, 1)
            batch.divide_by_rates(tensors)
            internals.invert_(tensors)
            roots = correction_on_device(steps, beta2)
            internals.square_root_(roots)
            internals.divide_(scales, roots)
            internals.add_(scales, options["eps"])
            internals.divide_(scales, tensors)
            internals.addcdiv_(parameters, means, scales)
        else:
            first, second = correction(steps, beta1), correction(steps, beta2)
            sizes = [(rate / c) * -1 for rate, c in zip(batch.rates, first, strict=True)]
            internals.divide_(scales, [c**0.5 for c in second])
            internals.add_(scales, options["eps"])
            internals.addcdiv_(parameters, means, scales, sizes)

    def _update_fused(self, batch: Batch, options: Options, scaling: GradientScaling) -> None:
        decoupled = options["decoupled_weight_decay"]
        update = internals.fused_adamw_ if decoupled else internals.fused_adam_
        beta1, beta2 = options["betas"]
        advance(batch.lists[-1])
        for group, lists in batch.by_group():
            update(
                *lists,
                lr=group.rate,
                beta1=beta1,
                beta2=beta2,
                weight_decay=group.weight_decay,
                eps=options["eps"],
                amsgrad=options["amsgrad"],
                maximize=options["maximize"],
                grad_scale=scaling.scale,
                found_inf=scaling.found_inf,
            )
        scaling.take_back(batch.lists[-1])


class Adam(_AllGroupsAdam, torch.optim.Adam):
    """``torch.optim.Adam``, at the cost of one group for any number of them.

    The same arguments, groups, state, hooks and numbers, to the last bit: only the step is another,
    which updates all groups that differ in rate and weight decay alone at once.

    Examples:
        >>> import torch
        >>> from layerwise.torch import param_groups
        >>> from layerwise.torch.optim import Adam
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 1))
        >>> optimizer = Adam(param_groups(model, {"0": 0.1}, lr=1e-3), foreach=True)
        >>> [group["lr"] for group in optimizer.param_groups]
        [0.0001, 0.001]

    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015; the order of
    operations is that of ``torch.optim.Adam``.
    """


class AdamW(_AllGroupsAdam, torch.optim.AdamW):
    """``torch.optim.AdamW``, at the cost of one group for any number of them.

    The same arguments, groups, state, hooks and numbers, to the last bit: only the step is another,
    which updates all groups that differ in rate and weight decay alone at once.

    Examples:
        >>> import torch
        >>> from layerwise import layer_decay
        >>> from layerwise.torch import param_groups
        >>> from layerwise.torch.optim import AdamW
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 1))
        >>> optimizer = AdamW(param_groups(model, layer_decay(0.5), lr=1e-3), fused=True)
        >>> isinstance(optimizer, torch.optim.AdamW)
        True

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019; the order of
    operations is that of ``torch.optim.AdamW``.
    """
