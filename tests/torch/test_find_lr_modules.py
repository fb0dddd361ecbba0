"""find_lr leaves no trace in what modules hold, wherever they hold it, and probes begin alike."""

import copy
import random
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from layerwise.torch import find_lr
from tests._support.torch.finding import QUIET
from tests._support.torch.sam import SAM


class Hidden(NamedTuple):
    h: Tensor
    c: Tensor


@dataclass
class Memory:
    h: Tensor
    steps: int = 0
    past: list[Tensor] = field(default_factory=list)


@dataclass(frozen=True)
class Fixed:
    h: Tensor


@dataclass(slots=True)
class Slotted:
    h: Tensor
    steps: int = 0


class Cache:
    """An object of the model's own package, as Transformers' caches are of its."""

    def __init__(self) -> None:
        self.layers: list[Tensor] = []
        self.steps = 0


class Counting:
    """A callable with a count."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1


def zeros() -> Tensor:
    return torch.zeros(4)


def draw(generator: Any) -> None:
    if isinstance(generator, torch.Generator):
        torch.rand(1, generator=generator)
    else:
        generator.random()


def rebind(net: Any, new: Any) -> None:
    net._state = new


def advance(memory: Any, h: Tensor) -> None:
    memory.h = h
    memory.steps += 1


# What a module holds at first, and how a forward pass changes it.
HELD: dict[str, tuple[Callable[[], Any], Callable[[Any, Tensor], Any]]] = {
    "tensor": (zeros, rebind),
    "tensor in place": (zeros, lambda net, h: net._state.add_(h)),
    "number": (lambda: 0, lambda net, h: rebind(net, net._state + 1)),
    "none at first": (lambda: None, lambda net, h: rebind(net, (h, h))),
    "tuple": (lambda: (zeros(), zeros()), lambda net, h: net._state[0].add_(h)),
    "tuple anew": (lambda: (zeros(), zeros()), lambda net, h: rebind(net, (h, h))),
    "named tuple": (lambda: Hidden(zeros(), zeros()), lambda net, h: net._state.c.add_(h)),
    "list": (lambda: [zeros()], lambda net, h: net._state.append(h)),
    "list in place": (lambda: [[zeros()]], lambda net, h: net._state[0][0].add_(h)),
    "dict": (lambda: {"h": zeros(), "n": 0}, lambda net, h: net._state.update(h=h, n=1, m=2)),
    "nested": (
        lambda: {"layers": [{"h": (zeros(), [zeros()])}]},
        lambda net, h: net._state["layers"][0]["h"][1].append(h),
    ),
    "deque": (lambda: deque([zeros()], maxlen=3), lambda net, h: net._state.append(h)),
    "set": (lambda: {0}, lambda net, h: net._state.add(len(net._state))),
    "ordered": (OrderedDict, lambda net, h: net._state.update({len(net._state): h})),
    "default": (
        lambda: defaultdict(zeros),
        lambda net, h: net._state.__setitem__("h", net._state["h"] + h),
    ),
    "counter": (Counter, lambda net, h: net._state.update("h")),
    "dataclass": (lambda: Memory(zeros()), lambda net, h: advance(net._state, h)),
    "dataclass inside": (lambda: [Memory(zeros())], lambda net, h: net._state[0].past.append(h)),
    "frozen dataclass": (lambda: Fixed(zeros()), lambda net, h: net._state.h.add_(h)),
    "dataclass with slots": (lambda: Slotted(zeros()), lambda net, h: advance(net._state, h)),
    "namespace": (lambda: SimpleNamespace(n=0), lambda net, h: vars(net._state).update(n=1, h=h)),
    "object": (Cache, lambda net, h: net._state.layers.append(h)),
    "callable object": (Counting, lambda net, h: net._state()),
    "array": (lambda: np.zeros(3), lambda net, h: np.add(net._state, 1, out=net._state)),
    "torch's generator": (
        lambda: torch.Generator().manual_seed(1),
        lambda net, h: draw(net._state),
    ),
    "generators in a list": (
        lambda: [torch.Generator().manual_seed(1), random.Random(2), np.random.default_rng(3)],
        lambda net, h: [draw(generator) for generator in net._state],
    ),
    "module in a list": (
        lambda: [nn.BatchNorm1d(4)],
        lambda net, h: net._state[0](h + zeros()[:, None]),
    ),
}


class Net(nn.Module):
    def __init__(self, state: Any, change: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(4, 4), nn.Linear(4, 1)
        self._state, self.change = state, change
        self.seen: list[str] = []

    def forward(self, x: Tensor) -> Any:
        out = self.first(x).tanh()
        self.change(self, out.detach().mean(0))
        return self.head(out)


def plain(value: Any) -> Any:
    """What a value holds, in a form that can be compared."""
    if isinstance(value, Tensor | np.ndarray):
        return value.tolist()
    if isinstance(value, torch.Generator):
        return value.get_state().tolist()
    if isinstance(value, random.Random):
        return value.getstate()
    if isinstance(value, np.random.Generator):
        return value.bit_generator.state
    if isinstance(value, nn.Module):
        return plain(dict(value.state_dict()))
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | deque | set):
        return [plain(item) for item in value]
    if isinstance(value, Slotted):
        return plain((value.h, value.steps))
    return plain(vars(value)) if hasattr(value, "__dict__") else value


def make_data() -> tuple[Tensor, Tensor]:
    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    return x, x.sum(1, keepdim=True)


def make_net(kind: str) -> Any:
    make, change = HELD[kind]
    torch.manual_seed(0)
    return Net(make(), change)


@pytest.mark.parametrize("calls", [0, 2], ids=["new", "used"])
@pytest.mark.parametrize("kind", HELD)
def test_what_a_module_holds_is_as_it_was(kind: str, calls: int) -> None:
    net, (x, y) = make_net(kind), make_data()
    for _ in range(calls):
        net(x)
    state, before = net._state, copy.deepcopy(plain(net._state))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    findings = [
        find_lr(net, optimizer, nn.functional.mse_loss, [(x, y)] * 10, **QUIET) for _ in range(2)
    ]
    assert net._state is state
    assert plain(net._state) == before
    assert findings[0] == findings[1]
    net(x + 1)
    assert plain(net._state) != before  # it does change what it holds


def test_a_stateful_recurrent_network() -> None:
    class Stateful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.head = nn.LSTM(4, 8, batch_first=True), nn.Linear(8, 1)
            self.hidden: Any = None

        def forward(self, x: Tensor) -> Any:
            out, hidden = self.lstm(x, self.hidden)
            self.hidden = tuple(tensor.detach() for tensor in hidden)
            return self.head(out[:, -1])

    torch.manual_seed(0)
    net, x = Stateful(), torch.randn(8, 5, 4)
    y = x.sum((1, 2))[:, None]
    net(x)
    before = [tensor.clone() for tensor in net.hidden]
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    loss = nn.functional.mse_loss
    found = find_lr(net, optimizer, loss, [(x, y)] * 20, steps=60, progress=False)
    assert all(torch.equal(a, b) for a, b in zip(net.hidden, before, strict=True))
    assert found == find_lr(net, optimizer, loss, [(x, y)] * 20, steps=60, progress=False)


def test_every_probe_begins_from_the_same_state() -> None:
    starts = []

    def change(net: Any, h: Tensor) -> None:
        starts.append(len(net._state[0]["past"]) == 3)
        net._state[0]["past"].append(h)

    torch.manual_seed(0)
    net, (x, y) = Net([{"past": [zeros()] * 3}], change), make_data()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    loss = nn.functional.mse_loss
    found = find_lr(net, optimizer, loss, [(x, y)] * 20, steps=60, progress=False)
    assert len(found.probes) > 2
    assert sum(starts) > len(found.probes)  # each of them, and the sweep


def test_what_a_first_batch_makes_is_gone_again() -> None:
    class Lazy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 1)

        def forward(self, x: Tensor) -> Any:
            if not hasattr(self, "scale"):
                self.register_buffer("scale", torch.ones(()))
                self._cache, self.mask = Cache(), [x]
            self._cache.steps += 1
            return self.layer(x * self.scale)

    net, (x, y) = Lazy(), make_data()
    before = set(vars(net)), set(net.state_dict())
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    find_lr(net, optimizer, nn.functional.mse_loss, [(x, y)] * 5, **QUIET)
    assert (set(vars(net)), set(net.state_dict())) == before


def test_things_of_others_are_not_touched() -> None:
    """A logger or a trainer that a module knows goes its own way."""

    class Foreign:
        calls = 0

        def __deepcopy__(self, memo: Any) -> Any:
            raise AssertionError("it may be as large as a data set")

    Foreign.__module__ = "some_logger.run"
    logger = Foreign()

    def change(net: Any, h: Tensor) -> None:
        net._state.calls += 1

    net, (x, y) = Net(logger, change), make_data()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    find_lr(net, optimizer, nn.functional.mse_loss, [(x, y)] * 5, **QUIET)
    assert net._state is logger
    assert logger.calls > 0


def test_a_hidden_state_in_a_graph_can_still_be_trained_through() -> None:
    """Writing into it, even the same values, would break the graph."""
    net, (x, y) = make_net("tensor"), make_data()
    net._state = net.first(x).tanh().sum(0)
    loss = net._state.square().sum()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    optimizer.param_groups[0]["lr"] = 0.1
    weight = net.first.weight.detach().clone()
    find_lr(net, optimizer, nn.functional.mse_loss, [(x, y)] * 5, **QUIET)
    assert torch.equal(net.first.weight, weight)
    assert net._state.grad_fn is not None
    (gradient,) = torch.autograd.grad(loss, net._state)
    assert torch.equal(gradient, 2 * net._state)


def test_an_optimizer_inside_an_optimizer_is_put_back() -> None:
    """SAM's momentum is in its base optimizer, whose state is not SAM's."""
    net, (x, y) = make_net("number"), make_data()
    optimizer = SAM([{"params": net.parameters(), "lr": 0.1}], torch.optim.SGD, momentum=0.9)

    def step(batch: Any) -> Any:
        loss = nn.functional.mse_loss(net(batch[0]), batch[1])
        loss.backward()
        optimizer.first_step()
        nn.functional.mse_loss(net(batch[0]), batch[1]).backward()
        optimizer.second_step()
        return loss

    for _ in range(3):
        step((x, y))
    state = optimizer.base_optimizer.state
    before = [value["momentum_buffer"].clone() for value in state.values()]
    find_lr(net, optimizer, loader=[(x, y)] * 5, step=step, **QUIET)
    after = [value["momentum_buffer"] for value in state.values()]
    assert len(after) == len(before) == 4
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
