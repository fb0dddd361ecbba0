"""find_lr: a base rate to train with, and a model that is as it was."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from layerwise.errors import FinderError
from layerwise.finder import LRFinding, StopRule, accumulated, search
from layerwise.torch._finder.batch import Loss
from layerwise.torch._finder.processes import Processes
from layerwise.torch._finder.trainer import TorchTrainer
from layerwise.torch._finder.update import Autocast, Update
from layerwise.torch._groups.base_rate import group_factors, named_factors
from layerwise.torch._scheduler.step_hooks import fresh_workers


def find_lr(
    model: nn.Module,
    optimizer: Optimizer,
    loss: Loss | None = None,
    loader: Iterable[Any] | None = None,
    *,
    step: Callable[[Any], Any] | None = None,
    low: float = 1e-7,
    high: float = 10.0,
    steps: int = 100,
    spacing: Literal["geometric", "linear"] = "geometric",
    method: Literal["probe", "sweep"] = "probe",
    horizon: int | None = None,
    held_out: Iterable[Any] | None = None,
    stop: Literal["diverged", "doubled", "never"] | StopRule = "diverged",
    smoothing: float = 2.0,
    progress: bool = True,
    device: torch.device | str | None = None,
    memory: Literal["device", "host"] = "device",
    accumulate: int = 1,
    autocast: Autocast = None,
    scaler: Any = None,
    scheduler: Any = None,
    also: Iterable[Any] = (),
) -> LRFinding:
    """Search a base learning rate for a model and its optimizer, and leave both as they were.

    Every group keeps its ratio to the base rate, which is what ``param_groups`` was given as
    ``lr``; of other groups the optimizer's own ``lr`` if a group has it, else the highest. Of a
    group that a scheduler has moved, its ``initial_lr`` counts.

    Weights, gradients, buffers, optimizer state, rates, training modes, the scaler and every
    random state are put back in place, also after an error or an interrupt. What can't be put
    back: an iterator that has been drawn from, and what a dataset or ``step`` changes elsewhere.

    Args:
        model: The model, also compiled, or wrapped by ``DistributedDataParallel``. All ranks call
            this and get the same result, from losses that are means over the ranks.
        optimizer: Any optimizer whose groups have an ``lr``.
        loss: A loss function ``(outputs, targets)``; None if the outputs have their ``loss``.
        loader: Batches: tuples of inputs and, last, targets; mappings of the model's keyword
            arguments, which are the targets as a whole; or inputs that are the targets as well.
        step: Instead of ``loss``, a whole training step: ``step(batch)`` does forward, backward
            and ``optimizer.step()`` on a batch as it comes from the loader, and returns its loss.
        low: The sweep's first base rate, above 0.
        high: Its last, above ``low``.
        steps: How many updates the sweep takes, at least 10.
        spacing: ``"geometric"`` or ``"linear"``.
        method: ``"probe"``: short trainings after the sweep, at up to twice its cost;
            ``"sweep"``: from its curve alone.
        horizon: How many updates the training is going to have, if known.
        held_out: Batches to score the probes on, for data so small that a probe goes through it
            more than once; of many, the first few are taken.
        stop: When to end early: ``"diverged"``, ``"doubled"``, ``"never"``, or a function of the
            smoothed losses.
        smoothing: Its width in points, at least 0.
        progress: Whether to draw a progress bar on standard error.
        device: Where batches are moved to; by default where the model's first parameter is.
        memory: Whether the copy of model and optimizer state is kept on their ``"device"`` or on
            the ``"host"``.
        accumulate: How many batches make one update, and so one point of the curve.
        autocast: A type to compute in (``torch.bfloat16``), or a ``torch.autocast``.
        scaler: The ``GradScaler``. A batch whose update it leaves out is trained again.
        scheduler: A scheduler that ``step`` steps; it is put back too.
        also: Whatever else ``step`` changes: modules, and objects with a ``state_dict``.

    Returns:
        The curve, the suggested base rate and why, and ``group_rates`` by the groups' names.

    Raises:
        FinderError: An argument that can't be honoured, no batch, or a loss that is not a scalar.

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
    sweep; the suggestion is ``layerwise.finder.search``'s.
    """
    batches = _checked(model, optimizer, loss, loader, step)
    _check_options(accumulate, memory, autocast, scaler, step)
    where = _device(model, device)
    factors = group_factors(optimizer, int(getattr(scheduler, "last_epoch", 0)))
    ranks = Processes(model, where)
    batches = fresh_workers(batches)
    update = step or Update(model, optimizer, loss, device=where, autocast=autocast, scaler=scaler)
    others = [thing for thing in (loss, *also) if isinstance(thing, nn.Module)]
    stateful = [thing for thing in (scheduler, *also) if thing is not None]
    trainer = TorchTrainer(
        model,
        optimizer,
        update,
        factors=factors,
        modules=(model, *others),
        stateful=[thing for thing in stateful if not isinstance(thing, nn.Module)],
        loader=batches,
        scaler=scaler,
        ranks=ranks,
        host=memory == "host",
    )

    def together(data: Iterable[Any]) -> Iterable[Any]:
        return ranks.together(accumulated(data, accumulate) if step is None else data)

    return search(
        trainer,
        together(batches),
        low=low,
        high=high,
        steps=steps,
        spacing=spacing,
        method=method,
        horizon=horizon,
        held_out=None if held_out is None else together(held_out),
        stop=stop,
        smoothing=smoothing,
        progress=progress and ranks.rank == 0,
        group_factors=named_factors(optimizer, factors),
    )


def _checked(model: Any, optimizer: Any, loss: Any, loader: Any, step: Any) -> Iterable[Any]:
    """The loader, if all of these can be trained with."""
    if not isinstance(model, nn.Module):
        raise FinderError(f"{type(model).__name__} is not a torch.nn.Module.")
    if not isinstance(optimizer, Optimizer):
        raise FinderError(f"{type(optimizer).__name__} is not a torch.optim.Optimizer.")
    if loss is not None and step is not None:
        raise FinderError("loss= and step= are two ways to say the same; give one of them.")
    for name, function in (("loss", loss), ("step", step)):
        if function is not None and (not callable(function) or isinstance(function, type)):
            hint = "make one first" if isinstance(function, type) else "give a function"
            raise FinderError(f"{name}={function!r} can't be called as a {name}: {hint}.")
    if not isinstance(loader, Iterable) and not hasattr(loader, "__getitem__"):
        raise FinderError(
            f"loader={loader!r}: give the batches to train on, a DataLoader or any iterable."
        )
    own = list(model.parameters())
    if any(is_lazy(tensor) for tensor in own):
        raise FinderError(
            "The model has parameters without a shape yet: call it once on a batch before."
        )
    mine = {id(tensor) for tensor in own}
    if not any(id(tensor) in mine for g in optimizer.param_groups for tensor in g["params"]):
        raise FinderError(
            "The optimizer has none of the model's parameters: make it from model.parameters() "
            "or param_groups(model, ...) of this very model."
        )
    batches: Iterable[Any] = loader
    if step is None and "closure" in _required(optimizer.step):
        raise FinderError(
            f"{type(optimizer).__name__} needs a closure, which only your own training step has: "
            "give that as step=."
        )
    return batches


def _check_options(accumulate: Any, memory: Any, autocast: Any, scaler: Any, step: Any) -> None:
    if memory not in ("device", "host"):
        raise FinderError(f"memory={memory!r}: choose 'device' or 'host'.")
    casting = isinstance(autocast, torch.dtype) or hasattr(autocast, "__enter__")
    if autocast is not None and not casting:
        raise FinderError(
            f"autocast={autocast!r}: a type such as torch.bfloat16, or a torch.autocast."
        )
    if scaler is not None and not hasattr(scaler, "get_scale"):
        raise FinderError(f"scaler={scaler!r} is no GradScaler.")
    if step is not None and (accumulate != 1 or autocast is not None):
        raise FinderError(
            "accumulate= and autocast= are for a loss; a step= does both itself. Let the loader "
            "yield all batches of one update together."
        )


def _device(model: nn.Module, device: torch.device | str | None) -> torch.device:
    if device is not None:
        return torch.device(device)
    return next((tensor.device for tensor in model.parameters()), torch.device("cpu"))


def _required(function: Any) -> set[str]:
    parameters = inspect.signature(function).parameters.values()
    return {p.name for p in parameters if p.default is p.empty and p.kind != p.VAR_KEYWORD}
