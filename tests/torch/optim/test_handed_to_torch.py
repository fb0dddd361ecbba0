"""What has no form for all groups at once is PyTorch's own step, errors included."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.distributed
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

import layerwise.torch.optim as ours
from tests._support.torch.stepping import SHAPES, groups_of, parameters, same_bits, take_steps


def after_steps(module: Any, name: str, options: dict[str, Any], **more: Any) -> Any:
    optimizer = getattr(module, name)(groups_of(parameters(), **more), **options)
    take_steps(optimizer, range(6))
    return optimizer


@pytest.mark.parametrize(
    ("name", "options", "more"),
    [
        ("AdamW", {"foreach": False}, {}),
        ("Adam", {}, {"foreach": (True, False, None)}),
        ("Adam", {"betas": (0.9, 0.99)}, {"foreach": (True, None, True)}),
        ("Adam", {"foreach": True}, {"betas": ([0.9, 0.99], [0.9, 0.99], [0.5, 0.9])}),
    ],
)
def test_other_implementations(name: str, options: dict[str, Any], more: dict[str, Any]) -> None:
    own, theirs = (after_steps(module, name, options, **more) for module in (ours, torch.optim))
    assert same_bits(own, theirs)


@pytest.mark.parametrize("way", ["foreach", "fused"])
@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD"])
def test_a_weight_decay_that_is_a_tensor(name: str, way: str) -> None:
    def run(module: Any) -> Any:
        groups = groups_of(parameters())
        for group in groups:
            group["weight_decay"] = torch.tensor(group["weight_decay"])
        optimizer = getattr(module, name)(groups, lr=0.1, **{way: True})
        try:
            take_steps(optimizer, range(4))
        except (TypeError, RuntimeError) as error:
            return type(error)
        return optimizer

    own, theirs = run(ours), run(torch.optim)
    assert own is theirs if isinstance(theirs, type) else same_bits(own, theirs)


def test_rates_on_another_device() -> None:
    messages = []
    for module in (ours, torch.optim):
        optimizer = module.AdamW(groups_of(parameters()), fused=True)
        for group in optimizer.param_groups:
            group["lr"] = torch.tensor(0.1, device="meta")
            for parameter in group["params"]:
                parameter.grad = torch.ones_like(parameter)
        with pytest.raises((NotImplementedError, RuntimeError)) as caught:
            optimizer.step()
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


@pytest.mark.filterwarnings("ignore:Sparse invariant checks:UserWarning")
@pytest.mark.parametrize("name", ["SGD", "Adagrad"])
def test_sparse_gradients(name: str) -> None:
    def run(module: Any) -> Any:
        torch.manual_seed(0)
        table, weight = torch.nn.Embedding(9, 3, sparse=True), torch.nn.Linear(3, 1)
        groups = [
            {"params": table.parameters(), "lr": 0.1},
            {"params": weight.parameters(), "lr": 0.2},
        ]
        optimizer = getattr(module, name)(groups, foreach=True)
        for step in range(4):
            optimizer.zero_grad()
            weight(table(torch.tensor([step, step, 8]))).sum().backward()
            optimizer.step()
        return optimizer

    assert same_bits(run(ours), run(torch.optim))


class Marked(Tensor):
    """A tensor of a class of its own, which PyTorch's lists of tensors treat apart."""


def test_tensors_of_another_class() -> None:
    def run(module: Any) -> Any:
        tensors = [t.detach().as_subclass(Marked).requires_grad_() for t in parameters()]
        optimizer = module.AdamW(groups_of(tensors), foreach=True)
        take_steps(optimizer, range(4))
        return optimizer

    assert same_bits(run(ours), run(torch.optim))


def test_a_differentiable_step() -> None:
    def gradient_of_the_rate(module: Any) -> Tensor:
        rate = torch.tensor(0.1, requires_grad=True)
        weight = torch.nn.Parameter(torch.ones(3))
        moved = weight.clone()
        moved.grad = torch.arange(3.0)
        optimizer = module.Adam([{"params": [moved], "lr": rate}], differentiable=True)
        optimizer.step()
        moved.sum().backward()
        assert rate.grad is not None
        return rate.grad

    assert torch.equal(gradient_of_the_rate(ours), gradient_of_the_rate(torch.optim))


@pytest.mark.parametrize(
    ("options", "rate"),
    [({"foreach": True, "capturable": True}, 0.1), ({"foreach": True}, torch.tensor(0.1))],
)
def test_errors_are_those_of_pytorch(options: dict[str, Any], rate: Any) -> None:
    messages = []
    for module in (ours, torch.optim):
        optimizer = module.AdamW(groups_of(parameters()), **options)
        for group in optimizer.param_groups:
            group["lr"] = rate
            for parameter in group["params"]:
                parameter.grad = torch.ones_like(parameter)
        with pytest.raises((AssertionError, RuntimeError)) as caught:
            optimizer.step()
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_sparse_gradients_of_adam_are_refused_as_by_pytorch() -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    weight.grad = torch.ones(3).to_sparse()
    with pytest.raises(RuntimeError, match="SparseAdam"):
        ours.Adam([weight], foreach=True).step()


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method`:DeprecationWarning")
def test_a_compiled_step() -> None:
    def run(module: Any) -> Any:
        torch._dynamo.reset()
        optimizer = module.AdamW(groups_of(parameters()))
        for group in optimizer.param_groups:
            group["lr"] = torch.tensor(group["lr"])
        optimizer.step = torch.compile(optimizer.step, backend="aot_eager")
        take_steps(optimizer, range(5))
        return optimizer

    assert same_bits(run(ours), run(torch.optim))
    torch._dynamo.reset()


@pytest.fixture
def one_process() -> Iterator[DeviceMesh]:
    """A mesh of this process alone."""
    torch.distributed.init_process_group(
        "gloo", store=torch.distributed.HashStore(), rank=0, world_size=1
    )
    yield torch.distributed.init_device_mesh("cpu", (1,))
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("way", ["foreach", "fused"])
def test_distributed_tensors(one_process: DeviceMesh, way: str) -> None:
    def run(module: Any) -> Any:
        tensors: list[Tensor] = [
            torch.nn.Parameter(distribute_tensor(t.detach(), one_process, [Shard(0)]))
            for t in parameters()
        ]
        optimizer = module.AdamW(groups_of(tensors), **{way: True})
        for step in range(3):
            for tensor in tensors:
                noise = torch.full(tensor.shape, 1.0 + step)
                tensor.grad = distribute_tensor(noise, one_process, [Shard(0)])
            optimizer.step()
        return [tensor.full_tensor() for tensor in tensors if isinstance(tensor, DTensor)]

    own, theirs = run(ours), run(torch.optim)
    assert len(own) == len(SHAPES)
    assert all(torch.equal(a, b) for a, b in zip(own, theirs, strict=True))
