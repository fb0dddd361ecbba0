"""Trainings at many rates at once, as ``train`` does each: many times faster for small networks."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, grad_and_value, vmap

from layerwise import cosine

from ._task import Draw
from ._training import Trained

_BETAS, _EPSILON = (0.9, 0.999), 1e-8


def train_together(draw: Draw, rates: Sequence[Mapping[str, float]]) -> list[Trained]:
    """Train a draw's network with Adam once for each row of rates, by parameter name.

    For networks without buffers; their steps are those of ``train`` but for rounding.
    """
    model, updates = draw.model(), draw.task.updates
    count = len(rates)
    params = {name: value.detach() for name, value in model.named_parameters()}
    peaks = {name: torch.tensor([row[name] for row in rates]) for name in params}
    params = {name: value.repeat(count, *[1] * value.ndim) for name, value in params.items()}
    states = {name: (torch.zeros_like(v), torch.zeros_like(v)) for name, v in params.items()}

    def outputs(params: dict[str, Tensor], x: Tensor) -> Tensor:
        found: Tensor = functional_call(model, params, (x,))
        return found

    def loss(params: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return draw.loss(outputs(params, x), y)

    step = vmap(grad_and_value(loss), in_dims=(0, None, None))
    factors = np.asarray(cosine(updates)(np.arange(updates)))
    losses = []
    for number, (x, y) in enumerate(draw.batches(0), 1):
        grads, values = step(params, x, y)
        losses.append(values)
        for name, value in params.items():
            rate = peaks[name] * float(factors[number - 1])
            _adam(value, grads[name], states[name], rate, number)
    model.eval()
    evaluate = vmap(outputs, in_dims=(0, None))
    return _tested(draw, lambda x: evaluate(params, x), torch.stack(losses))


def _adam(
    value: Tensor, grad: Tensor, moments: tuple[Tensor, Tensor], rate: Tensor, number: int
) -> None:
    """One update in place; the first axis counts the trainings."""
    mean, square = moments
    mean.lerp_(grad, 1 - _BETAS[0])
    square.mul_(_BETAS[1]).addcmul_(grad, grad, value=1 - _BETAS[1])
    size = (rate / (1 - _BETAS[0] ** number)).view(-1, *[1] * (value.ndim - 1))
    root = (square / (1 - _BETAS[1] ** number)).sqrt_().add_(_EPSILON)
    value.sub_(root.reciprocal_().mul_(mean).mul_(size))


def _tested(draw: Draw, evaluate: object, losses: Tensor) -> list[Trained]:
    assert callable(evaluate)
    totals, right = 0.0, 0.0
    for x, y in zip(draw.test.x.split(256), draw.test.y.split(256), strict=True):
        outputs = evaluate(x)
        totals = totals + torch.stack([draw.loss(each, y) for each in outputs]) * len(y)
        right = right + (outputs.argmax(-1) == y).flatten(1).sum(1)
    means = torch.nan_to_num(totals / len(draw.test.y), nan=torch.inf)
    shares = right / draw.test.y.numel()
    ends = losses[-max(len(losses) // 10, 1) :].mean(0)
    return [
        Trained(*row) for row in zip(means.tolist(), shares.tolist(), ends.tolist(), strict=True)
    ]
