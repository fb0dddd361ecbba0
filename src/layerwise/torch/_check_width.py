"""check_width_scaling: whether rates transfer between PyTorch models of several widths."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from layerwise._text import shown
from layerwise.errors import MultiplierError
from layerwise.multipliers import Rules, WidthCheck, check_widths, measure_widths, width_scaling
from layerwise.torch._groups.param_groups import param_groups

_ADAM = (
    *(torch.optim.Adadelta, torch.optim.Adagrad, torch.optim.Adam, torch.optim.AdamW),
    *(torch.optim.Adamax, torch.optim.NAdam, torch.optim.RAdam, torch.optim.RMSprop),
    torch.optim.Rprop,
)
_SGD = (torch.optim.SGD, torch.optim.ASGD)


def check_width_scaling(
    make_model: Callable[[int], nn.Module],
    widths: Iterable[int],
    inputs: Tensor | tuple[Tensor, ...] | Mapping[str, Tensor],
    targets: Any,
    loss: Callable[[Any, Any], Tensor],
    *,
    rules: Rules | None = None,
    optimizer: Callable[[Any], Optimizer] = torch.optim.Adam,
    learning_rate: float = 1e-3,
    steps: int = 5,
    repeats: int = 3,
) -> WidthCheck:
    r"""Check whether a rate that is good for a narrow model is good for a wide one.

    Models of several widths are trained on one batch for a few updates. Let $a_t(n)$ be a layer's
    activations after $t$ updates at width $n$. Rates transfer if the size of

    $$a_t(n) - a_0(n)$$

    does not depend on $n$ for any layer. It needs no good rate, only one that is not too high.

    Args:
        make_model: Gets a width and returns a new model.
        widths: At least two widths, some factors of two apart.
        inputs: One batch: a tensor, a tuple of them, or a mapping of the model's arguments.
        targets: Its targets.
        loss: The loss function ``(outputs, targets)``.
        rules: The rules to check. By default ``width_scaling`` with the narrowest model as the
            base; ``{}`` shows what happens without.
        optimizer: Makes the optimizer from parameter groups: a class, or
            ``lambda groups: torch.optim.SGD(groups, momentum=0.9)``.
        learning_rate: The base rate.
        steps: Updates.
        repeats: Models of each width, whose sizes are averaged.

    Returns:
        The sizes and changes, with a ``verdict`` in words and ``plot()``. Layers are the modules
        that have weights of their own, by name.

    Raises:
        MultiplierError: A width, rule or number can't be used, or the family of the optimizer is
            not known, which ``rules=width_scaling(base, optimizer=...)`` says.

    Examples:
        >>> import torch, warnings
        >>> from layerwise.torch import check_width_scaling
        >>> def make_model(width):
        ...     model = torch.nn.Sequential()
        ...     model.add_module("body", torch.nn.Linear(8, width))
        ...     model.add_module("act", torch.nn.ReLU())
        ...     model.add_module("head", torch.nn.Linear(width, 1))
        ...     torch.nn.init.zeros_(model.head.weight)  # right for all widths
        ...     return model
        >>> x = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
        >>> check = check_width_scaling(
        ...     make_model, [64, 256, 1024], x, x[:, :1], torch.nn.functional.mse_loss
        ... )
        >>> check.passes
        True

    Source: the coordinate check of Tensor Programs V (Yang et al., 2022).
    """
    wanted = check_widths(widths)
    if rules is None:
        rules = _default_rules(make_model, wanted, optimizer)

    def trial(width: int, seed: int) -> _Trial:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = _checked(make_model(width))
            made = optimizer(param_groups(model, rules, lr=learning_rate))
        return _Trial(model, made, inputs, lambda outputs: loss(outputs, targets), seed)

    return measure_widths(trial, wanted, steps=steps, repeats=repeats)


def _default_rules(
    make_model: Callable[[int], nn.Module],
    widths: list[int],
    optimizer: Callable[[Any], Optimizer],
) -> Rules:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        base = _checked(make_model(widths[0]))
    family = None
    made = optimizer(param_groups(base, lr=1e-3))
    if isinstance(made, _ADAM):
        family = "adam"
    elif isinstance(made, _SGD):
        family = "sgd"
    return width_scaling(base, optimizer=family)


def _checked(model: object) -> nn.Module:
    if not isinstance(model, nn.Module):
        raise MultiplierError(f"make_model must return a model, got {shown(model)}.")
    return model


class _Trial:
    """A model in training on one batch."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        inputs: Any,
        loss: Callable[[Any], Tensor],
        seed: int,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.inputs = inputs
        self.loss = loss
        self.seed = seed

    def activations(self) -> Mapping[str, npt.NDArray[np.float64]]:
        """What the modules with weights of their own give for the batch."""
        with _outputs_kept(self.model) as found:
            self._outputs()
        return found

    def step(self) -> None:
        """Train on the batch once."""
        self.optimizer.zero_grad()
        self.loss(self._outputs()).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()

    def _outputs(self) -> Any:
        # With the same seed dropout takes the same numbers, and is no change of its own.
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            if isinstance(self.inputs, Mapping):
                return self.model(**self.inputs)
            if isinstance(self.inputs, tuple):
                return self.model(*self.inputs)
            return self.model(self.inputs)


@contextmanager
def _outputs_kept(model: nn.Module) -> Iterator[dict[str, npt.NDArray[np.float64]]]:
    """The last outputs of the modules with weights of their own, as long as this is open."""
    found: dict[str, npt.NDArray[np.float64]] = {}

    def hook_for(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, outputs: Any) -> None:
            del module, inputs
            first = outputs[0] if isinstance(outputs, tuple | list) else outputs
            if isinstance(first, Tensor):
                found[name] = first.detach().double().cpu().numpy()

        return hook

    hooks = [
        module.register_forward_hook(hook_for(name or "model"))
        for name, module in model.named_modules()
        if any(True for _ in module.parameters(recurse=False))
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
