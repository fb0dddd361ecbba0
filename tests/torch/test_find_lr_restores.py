"""find_lr on PyTorch leaves nothing changed, whatever training changes and however it ends."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from layerwise.torch import find_lr
from tests._support.torch.finding import (
    OPTIMIZERS,
    QUIET,
    Noisy,
    fingerprint,
    loss_function,
    make_loader,
    make_searched,
    seed_all,
    train,
)
from tests._support.torch.networks import bits, make_batch, make_network

# PyTorch's compiler warns about a module of its own when it is first imported.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script_method`:DeprecationWarning")


@pytest.mark.parametrize("steps", [0, 3], ids=["new", "trained"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_everything_is_as_it_was(name: str, steps: int) -> None:
    model, optimizer = make_searched(name, steps)
    model.backbone[1].eval()
    generator = torch.Generator().manual_seed(3)
    loader = make_loader(generator=generator)
    before = fingerprint(model, optimizer, generator)
    found = find_lr(model, optimizer, loss_function, loader, steps=12, progress=False)
    assert fingerprint(model, optimizer, generator) == before
    assert len(found.rates) == 12 or found.stopped == "diverged"


def test_probes_leave_everything_as_it_was() -> None:
    model = make_network()
    optimizer = torch.optim.AdamW(model.parameters())
    loader = make_loader()
    before = fingerprint(model, optimizer)
    found = find_lr(model, optimizer, loss_function, loader, steps=60, progress=False)
    assert fingerprint(model, optimizer) == before
    assert found.updates > len(found.rates)
    assert found.suggestion is not None


def test_a_model_in_evaluation_mode_is_searched_in_training_mode() -> None:
    model, optimizer = make_searched("SGD")
    model.eval()
    before = fingerprint(model, optimizer)
    modes: list[bool] = []

    def loss(outputs: Any, targets: Any) -> Any:
        modes.append(model.training and model.backbone[1].training)
        return loss_function(outputs, targets)

    find_lr(model, optimizer, loss, make_loader(), **QUIET)
    assert fingerprint(model, optimizer) == before
    assert set(modes) == {True}


class BoomError(Exception):
    """What a training step raises in a test."""


@pytest.mark.parametrize("what", ["NaN", "few", "raises", "interrupted", "data raises"])
def test_whatever_ends_it_leaves_everything_as_it_was(what: str) -> None:
    model, optimizer = make_searched(steps=2)
    before = fingerprint(model, optimizer)
    calls = 0

    def loss(outputs: Any, targets: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 5 and what == "raises":
            raise BoomError
        if calls == 5 and what == "interrupted":
            raise KeyboardInterrupt
        return loss_function(outputs, targets) * (math.nan if what == "NaN" else 1)

    def few() -> Any:
        yield from list(make_loader())[:3]
        if what == "data raises":
            raise BoomError

    wanted = {"raises": BoomError, "interrupted": KeyboardInterrupt, "data raises": BoomError}.get(
        what
    )
    source = few() if what in ("few", "data raises") else make_loader()
    before = fingerprint(model, optimizer)
    if wanted is not None:
        with pytest.raises(wanted):
            find_lr(model, optimizer, loss, source, **QUIET)
    else:
        found = find_lr(model, optimizer, loss, source, **QUIET)
        assert found.stopped == ("diverged" if what == "NaN" else "data ended")
        assert len(found.losses) == 3
        assert found.suggestion is None or what == "few"
    assert fingerprint(model, optimizer) == before
    assert calls >= 3


# PyTorch warns where there are more workers than processors.
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_workers": 2},
        {"num_workers": 1, "persistent_workers": True},
        {"generator": 5},
    ],
    ids=str,
)
def test_training_afterwards_is_training_without_it(options: dict[str, Any]) -> None:
    def run(search: bool) -> Any:
        own = dict(options)
        if "generator" in own:
            own["generator"] = torch.Generator().manual_seed(own["generator"])
        loader = make_loader(**own)
        model, optimizer = make_searched()
        seed_all()
        if search:
            found = find_lr(model, optimizer, loss_function, loader, **QUIET)
            assert found.losses != ()
        return train(model, optimizer, loader, epochs=1), bits(model.parameters())

    assert run(search=True) == run(search=False)


def test_pytorchs_schedulers_are_put_back() -> None:
    model, optimizer = make_searched("tensor rate")
    with warnings.catch_warnings():
        scheduler = torch.optim.lr_scheduler.SequentialLR(
            optimizer,
            [
                torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=3),
                torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10),
            ],
            milestones=[3],
        )
    before = fingerprint(model, optimizer, scheduler)

    def step(batch: Any) -> Any:
        (loss,) = train(model, optimizer, [batch])
        scheduler.step()
        return loss

    found = find_lr(model, optimizer, loader=make_loader(), step=step, scheduler=scheduler, **QUIET)
    assert fingerprint(model, optimizer, scheduler) == before
    assert found.group_factors == {"group 0": 1.0}


def test_what_a_step_changes_beside_the_model_is_put_back() -> None:
    model, optimizer = make_searched()
    average = torch.optim.swa_utils.AveragedModel(model)

    def step(batch: Any) -> Any:
        (loss,) = train(model, optimizer, [batch])
        average.update_parameters(model)
        return loss

    before = fingerprint(average, optimizer)
    find_lr(model, optimizer, loader=make_loader(), step=step, also=[average], **QUIET)
    assert fingerprint(average, optimizer) == before


def test_gradients_that_were_there_come_back() -> None:
    model, optimizer = make_searched()
    loss_function(model(make_batch(3)[0]), make_batch(3)[1]).backward()
    before = fingerprint(model, optimizer)
    seen: list[float] = []

    def step(batch: Any) -> Any:  # zeroes them after the update, not before
        seen.append(
            sum(float(p.grad.abs().sum()) for p in model.parameters() if p.grad is not None)
        )
        loss = loss_function(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
        return loss

    find_lr(model, optimizer, loader=make_loader(), step=step, **QUIET)
    assert fingerprint(model, optimizer) == before
    assert model.head.weight.grad is not None
    assert set(seen) == {0.0}


def test_gradients_that_a_step_writes_into_come_back() -> None:
    model, optimizer = make_searched()
    buffers = {p: torch.ones_like(p) for p in model.parameters() if p.requires_grad}
    for parameter, buffer in buffers.items():
        parameter.grad = buffer
    before = fingerprint(model, optimizer)

    def step(batch: Any) -> Any:
        for parameter, buffer in buffers.items():
            parameter.grad = buffer.zero_()
        loss = loss_function(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        return loss

    find_lr(model, optimizer, loader=make_loader(), step=step, **QUIET)
    assert fingerprint(model, optimizer) == before


def in_a_block(shape: torch.Size) -> tuple[Tensor, Tensor]:
    block = torch.ones(shape.numel() + 1)
    return block, torch.empty(0).set_(block.untyped_storage(), 0, shape, torch.ones(shape).stride())


def in_numpy(shape: torch.Size) -> tuple[Tensor, Tensor]:
    array = np.ones(shape, "float32")
    return torch.from_numpy(array), torch.from_numpy(array)


def among_processes(shape: torch.Size) -> tuple[Tensor, Tensor]:
    shared = torch.ones(shape).share_memory_()
    return shared, shared.detach()


def detached(shape: torch.Size) -> tuple[Tensor, Tensor]:
    owner = torch.ones(shape)
    return owner, owner.detach()


@pytest.mark.parametrize("make_shared", [in_a_block, in_numpy, among_processes, detached])
def test_gradients_stay_in_the_memory_that_they_share(
    make_shared: Callable[[torch.Size], tuple[Tensor, Tensor]],
) -> None:
    model, optimizer = make_searched()
    owners = []
    for parameter in model.parameters():
        owner, parameter.grad = make_shared(parameter.shape)
        assert not parameter.grad._is_view()
        owners.append(owner)
    find_lr(model, optimizer, loss_function, make_loader(), **QUIET)
    for parameter, owner in zip(model.parameters(), owners, strict=True):
        assert parameter.grad is not None
        assert set(parameter.grad.flatten().tolist()) == {1.0}
        assert parameter.grad.is_shared() == owner.is_shared()
        owner.fill_(7.0)
        assert set(parameter.grad.flatten().tolist()) == {7.0}


def test_sparse_gradients_come_back() -> None:
    model = nn.Sequential(nn.Embedding(9, 4, sparse=True), nn.Flatten(0, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs**2).mean()

    batches = [(torch.arange(9)[None], torch.zeros(1))] * 3
    loss(model(batches[0][0]), batches[0][1]).backward()
    gradient = next(model.parameters()).grad
    assert gradient is not None
    before = gradient.to_dense().clone()
    find_lr(model, optimizer, loss, batches, **QUIET)
    assert next(model.parameters()).grad is gradient
    assert torch.equal(gradient.to_dense(), before)


def test_gradients_that_nothing_clears_come_back() -> None:
    class Weighted(nn.Module):
        """A loss with a weight that the optimizer doesn't have."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(()))

        def forward(self, outputs: Any, targets: Any) -> Any:
            return self.weight * loss_function(outputs, targets)

    model, optimizer = make_searched()
    loss = Weighted()
    gradient = loss.weight.grad = torch.tensor(0.5)
    find_lr(model, optimizer, loss, make_loader(), **QUIET)
    assert loss.weight.grad is gradient
    assert float(gradient) == 0.5


def test_a_loss_with_parameters_of_its_own_is_put_back() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))
            self.calls = 0

        def forward(self, outputs: Any, targets: Any) -> Any:
            self.calls += 1
            return loss_function(outputs * self.scale, targets)

    model, loss = make_network(), Scaled()
    optimizer = torch.optim.SGD([*model.parameters(), *loss.parameters()], lr=0.1)
    find_lr(model, optimizer, loss, make_loader(), **QUIET)
    assert (loss.scale.item(), loss.scale.grad, loss.calls) == (1.0, None, 0)


def test_the_copy_may_be_kept_on_the_host() -> None:
    model, optimizer = make_searched(steps=2)
    before = fingerprint(model, optimizer)
    seed_all()
    device = find_lr(model, optimizer, loss_function, make_loader(), **QUIET)
    seed_all()
    host = find_lr(model, optimizer, loss_function, make_loader(), memory="host", **QUIET)
    assert device == host
    assert fingerprint(model, optimizer)["weights"] == before["weights"]


def test_noisy_is_noisy() -> None:
    """The network of these tests does change what is said to be put back."""
    model, optimizer = make_searched()
    seed_all()
    before = fingerprint(model, optimizer)
    train(model, optimizer, make_loader())
    after = fingerprint(model, optimizer)
    changed = {name for name in before if before[name] != after[name]}
    assert changed >= {"weights", "identity", "gradients", "optimizer state", "counts", "random"}
    assert isinstance(model, Noisy)
