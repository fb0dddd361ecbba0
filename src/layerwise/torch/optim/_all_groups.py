"""A step over all groups at once, where they differ in rate and weight decay alone."""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any, ClassVar, TypeAlias, cast

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from layerwise.torch.optim import _internals as internals
from layerwise.torch.optim._batch import Batch, Run
from layerwise.torch.optim._move import Ones

Options: TypeAlias = Mapping[str, Any]
"""What groups have in common: the hyperparameters of any one of them."""


@dataclass(frozen=True)
class GradientScaling:
    """What ``GradScaler`` hands to a fused step, or None."""

    scale: Tensor | None = None
    found_inf: Tensor | None = None

    def on(self, device: torch.device) -> "GradientScaling":
        """The same on another device, without waiting for it."""
        pair = (self.scale, self.found_inf)
        return GradientScaling(*(t if t is None else t.to(device, non_blocking=True) for t in pair))

    def take_back(self, steps: list[Tensor]) -> None:
        """Take back the count of the step, if infinite gradients made the kernel leave it out."""
        if self.found_inf is not None:
            internals.subtract_(steps, [self.found_inf] * len(steps))


class AllGroups(Optimizer):
    """What the optimizers of this folder share: a step over all groups at once.

    Groups that differ in nothing but rate and weight decay are gathered again at every step, as
    PyTorch gathers each group, so that nothing kept can be out of date. What has no such form is
    handed to PyTorch's own step, whole: its for-loop, a step that is differentiated or compiled,
    sparse gradients, tensors of a class of their own such as DTensor.
    """

    _torch_class: ClassVar[type[Optimizer]]
    _lists: ClassVar[int]
    """How many lists of tensors ``_init_group`` fills."""

    @internals.in_its_grad_mode
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update all parameters once.

        Args:
            closure: Computes the loss again, with its gradients.

        Returns:
            The closure's loss, or None.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        batches = None if torch.compiler.is_compiling() else self._batches()
        if batches is None:
            internals.step_without_hooks(self._torch_class)(self)
            return loss
        internals.check_graph_capture(self)
        scaling = GradientScaling(
            getattr(self, "grad_scale", None), getattr(self, "found_inf", None)
        )
        for options, batch in batches:
            if options.get("fused"):
                self._update_fused(batch, options, scaling.on(batch.parameters[0].device))
            else:
                self._update_foreach(batch, options)
        return loss

    def _ones_for(self, batch: Batch) -> Ones:
        """Ones for a batch; PyTorch neither copies nor saves them with the optimizer."""
        first = batch.parameters[0]
        known: dict[object, Ones] = self.__dict__.setdefault("_ones", {})
        return known.setdefault((first.device, first.dtype), Ones())

    def _update_foreach(self, batch: Batch, options: Options) -> None:
        """Update a batch by functions that take a number for each tensor."""
        raise NotImplementedError

    def _update_fused(self, batch: Batch, options: Options, scaling: GradientScaling) -> None:
        """Update a batch by PyTorch's fused kernel, called once for each rate."""
        raise NotImplementedError

    def _batches(self) -> list[tuple[Options, Batch]] | None:
        """The tensors to be updated, or None if that is left to PyTorch's own step."""
        shared = itemgetter(*(key for key in self.defaults if key not in ("lr", "weight_decay")))
        alike: dict[object, list[dict[str, Any]]] = {}
        try:
            for group in self.param_groups:
                key = (shared(group), isinstance(group["lr"], Tensor))
                alike.setdefault(key, []).append(group)
        except TypeError:  # a list in place of a tuple, as JSON makes it
            return None
        if not all(may_be_batched(groups[0], groups) for groups in alike.values()):
            return None
        batches: list[tuple[Options, Batch]] = []
        for groups in alike.values():
            lists: internals.Lists = [[] for _ in range(self._lists)]
            runs = []
            for group in groups:
                start = len(lists[0])
                internals.gather(self, group, lists)
                if len(lists[0]) > start:
                    runs.append(Run(rate_of(group), group["weight_decay"], start, len(lists[0])))
            if not lists[0]:
                continue
            if not may_be_listed(groups[0], lists[0], lists[1]):
                return None
            parts = internals.by_device_and_dtype(lists)
            for part, places in parts:
                own = runs if len(parts) == 1 else runs_among(runs, places)
                if any(is_elsewhere(run.rate, part[0][0]) for run in own):
                    return None
                batches.append((groups[0], Batch(part, own)))
        return batches


def runs_among(runs: Sequence[Run], places: Sequence[int]) -> list[Run]:
    """The groups where only the tensors at some places, in order, are left."""
    found = []
    for run in runs:
        start, end = bisect_left(places, run.start), bisect_left(places, run.end)
        if end > start:
            found.append(replace(run, start=start, end=end))
    return found


def rate_of(group: Options) -> float:
    """A group's rate; if that is a tensor, without dimensions."""
    rate = group["lr"]
    return cast(float, rate.squeeze() if isinstance(rate, Tensor) else rate)


def is_elsewhere(rate: object, parameter: Tensor) -> bool:
    """Whether a rate is a tensor on another device, other than the host; PyTorch moves it."""
    return isinstance(rate, Tensor) and not rate.is_cpu and rate.device != parameter.device


def may_be_batched(options: Options, groups: Sequence[Options]) -> bool:
    """Whether groups with these options in common can be updated at once, if their tensors can."""
    if options.get("differentiable") or any(
        isinstance(beta, Tensor) for beta in options.get("betas", ())
    ):
        return False
    if options.get("fused"):
        return True
    if not options.get("capturable"):
        if any(isinstance(group["lr"], Tensor) for group in groups):
            return False
    elif any(p.is_cpu for group in groups for p in group["params"]):
        return False
    if options["foreach"] is None:
        first = [p for group in groups for p in group["params"][:1]][:1]
        return internals.prefers_foreach(first)
    return bool(options["foreach"])


def may_be_listed(
    options: Options, parameters: Sequence[Tensor], gradients: Sequence[Tensor]
) -> bool:
    """Whether these tensors are all such as the functions for lists of tensors take."""
    if not {*map(type, parameters)} <= {Tensor, Parameter}:
        return False
    if any(gradient.is_sparse for gradient in gradients):
        return False
    asked = options.get("fused") or options["foreach"]
    return bool(asked) or internals.prefers_foreach(parameters)
