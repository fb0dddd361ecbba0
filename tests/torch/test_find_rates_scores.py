"""find_rates on PyTorch scores held-out batches: in evaluation mode, whatever the loss does."""

from typing import Any
from weakref import ref

import pytest
import torch
from torch import Tensor, nn

from layerwise.errors import FinderError
from layerwise.torch import find_lr, find_rates
from layerwise.torch._finder.update import Update
from tests._support.torch.finding import QUIET as QUIET_SWEEP
from tests._support.torch.finding import loss_function
from tests._support.torch.networks import bits, make_batch

QUIET: dict[str, Any] = {"budget": 120, "progress": False}


def make_data(number: int = 12) -> list[Any]:
    return [make_batch(step) for step in range(number)]


class Slopes(nn.Module):
    """Gives its outputs and their slopes, as a force field does."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x.requires_grad_()
        outputs = self.head(torch.tanh(self.body(x)))
        (slopes,) = torch.autograd.grad(outputs.sum(), x, create_graph=True)
        return outputs, slopes


class Accumulating(nn.Module):
    """Leaves gradients in its weights while it computes."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.head(x)
        outputs.sum().backward(retain_graph=True)  # type: ignore[no-untyped-call]
        return outputs


def test_a_loss_may_differentiate_inside() -> None:
    model, data = Slopes(), make_data()
    optimizer = torch.optim.Adam(model.parameters())
    for tensor in model.parameters():
        tensor.grad = torch.ones_like(tensor)
    gradients = [tensor.grad for tensor in model.parameters()]
    losses = []

    def loss(outputs: Any, y: Tensor) -> Tensor:
        found: Tensor = loss_function(outputs[0], y) + outputs[1].square().mean()
        losses.append(ref(found))
        return found

    found = find_rates(model, optimizer, loss, data, held_out=data[:2], **QUIET)
    assert found.probes
    assert find_lr(model, optimizer, loss, data, **QUIET_SWEEP).losses
    assert all(a is b.grad for a, b in zip(gradients, model.parameters(), strict=True))
    assert all(bool((gradient == 1).all()) for gradient in gradients if gradient is not None)
    assert not any(x.requires_grad or x.grad is not None for x, _ in data)
    assert not any(one() for one in losses), "a graph is kept"


def test_what_a_score_accumulates_is_dropped() -> None:
    model = Accumulating()
    for tensor in model.parameters():
        tensor.grad = torch.ones_like(tensor)
    before = bits(tensor.grad for tensor in model.parameters() if tensor.grad is not None)
    optimizer = torch.optim.SGD(model.parameters())
    update = Update(model, optimizer, loss_function, device=torch.device("cpu"))
    assert update.loss_without_update(make_batch(0)) > 0
    assert before == bits(tensor.grad for tensor in model.parameters() if tensor.grad is not None)


def test_no_gradient_is_recorded_that_nobody_asks_for() -> None:
    model = nn.Linear(6, 3)
    recorded = []

    def loss(outputs: Tensor, y: Tensor) -> Tensor:
        recorded.append(outputs.requires_grad)
        return loss_function(outputs, y)

    optimizer = torch.optim.SGD(model.parameters())
    update = Update(model, optimizer, loss, device=torch.device("cpu"))
    update.loss_without_update(make_batch(0))
    assert recorded == [False]
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        update.loss_without_update((torch.zeros(2, 5), torch.zeros(2)))
    update.loss_without_update(make_batch(0))
    assert recorded == [False, False]


class Auxiliary(nn.Module):
    """Has a second head while it trains, as Inception does."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(6, 3), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Any:
        return {"out": self.first(x), "aux": self.second(x)} if self.training else self.first(x)


def auxiliary_loss(outputs: Any, y: Tensor) -> Tensor:
    return loss_function(outputs["out"], y) + 0.4 * loss_function(outputs["aux"], y)


def test_a_model_with_other_outputs_in_evaluation_mode_is_told_apart() -> None:
    model, data = Auxiliary(), make_data()
    optimizer = torch.optim.Adam(model.parameters())
    message = (
        r"(?s)can't take a held-out batch in evaluation mode, .*model\(batch\[0\]\) and "
        r"loss\(outputs, batch\[-1\]\), in evaluation mode.*model\.training.*A step= is scored in "
        r"training mode"
    )
    with pytest.raises(FinderError, match=message):
        find_rates(model, optimizer, auxiliary_loss, data, **QUIET)
    assert find_lr(model, optimizer, auxiliary_loss, data, **QUIET_SWEEP).losses

    update = Update(model, optimizer, auxiliary_loss, device=torch.device("cpu"))
    update(data[:1])
    model.eval()  # an update that worked says nothing about a score
    with pytest.raises(FinderError, match="in evaluation mode"):
        update.loss_without_update(data[0])


def test_both_ways_out_of_other_outputs_work() -> None:
    model, data = Auxiliary(), make_data()
    optimizer = torch.optim.Adam(model.parameters())

    def loss(outputs: Any, y: Tensor) -> Tensor:
        return auxiliary_loss(outputs, y) if model.training else loss_function(outputs, y)

    def step(batch: Any) -> Tensor:
        optimizer.zero_grad()
        found = auxiliary_loss(model(batch[0]), batch[1])
        found.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return found

    assert find_rates(model, optimizer, loss, data, **QUIET).probes
    assert find_rates(model, optimizer, None, data, step=step, **QUIET).probes
