"""find_rates on PyTorch takes the batches that a training takes, and divides them as it may."""

from collections import UserDict, defaultdict
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from layerwise.torch import find_lr, find_rates
from layerwise.torch._finder.update import moved
from tests._support.torch.finding import loss_function, make_loader, make_searched

QUIET: dict[str, Any] = {"budget": 120, "progress": False}


@pytest.mark.parametrize("kind", ["numpy", "sparse"])
def test_batches_that_are_no_plain_tensors(kind: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    optimizer = torch.optim.Adam(model.parameters())
    x, y = torch.randn(96, 4), torch.arange(96) % 2
    batches: list[Any] = list(zip(x.split(8), y.split(8), strict=True))
    if kind == "numpy":
        batches = [(one.numpy(), two.numpy()) for one, two in batches]
    else:
        batches = [(one.to_sparse(), two) for one, two in batches]

    def step(batch: Any) -> Tensor:
        one, two = batch
        inputs = torch.as_tensor(one) if kind == "numpy" else one.to_dense()
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), torch.as_tensor(two))
        loss.backward()
        optimizer.step()
        return loss

    found = find_rates(model, optimizer, None, batches, step=step, **QUIET)
    assert found.probes


def test_the_generator_of_held_out_data_is_as_it_was() -> None:
    model, optimizer = make_searched()
    held_out = make_loader(generator=torch.Generator().manual_seed(4))
    before = held_out.generator.get_state()
    find_rates(model, optimizer, loss_function, make_loader(), held_out=held_out, **QUIET)
    assert torch.equal(held_out.generator.get_state(), before)
    find_lr(model, optimizer, loss_function, make_loader(), held_out=held_out, progress=False)
    assert torch.equal(held_out.generator.get_state(), before)


def test_time_first_batches_are_divided_whole() -> None:
    """With another axis in front than that of the examples, each batch comes as it was."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    batches = [(torch.full((6, 5, 3), float(n)), torch.zeros(6, 5, 1)) for n in range(12)]
    seen = []
    model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loss = nn.functional.mse_loss
    find_rates(model, optimizer, loss, batches, divide="batches", **QUIET)
    assert all(x.unique().numel() == 1 for x in seen)
    seen.clear()
    find_rates(model, optimizer, loss, batches, **QUIET)
    assert any(x.unique().numel() > 1 for x in seen)


def test_the_last_part_of_a_batch_has_the_targets() -> None:
    torch.manual_seed(0)

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Linear(4, 8), nn.Linear(8, 2)

        def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
            found: Tensor = self.head(torch.tanh(self.body(x)))
            return found

    model = Two()
    x, y = torch.randn(96, 4), torch.arange(96) % 2
    lengths = torch.full((96,), 6)
    batches = list(zip(x.split(8), lengths.split(8), y.split(8), strict=True))
    optimizer = torch.optim.Adam(model.parameters())
    assert find_rates(model, optimizer, nn.functional.cross_entropy, batches, **QUIET).probes


def test_a_packed_sequence_moves_itself() -> None:
    from torch.nn.utils.rnn import pack_sequence

    packed = pack_sequence([torch.ones(3, 2), torch.ones(2, 2)])
    there, y = moved((packed, torch.ones(2)), torch.device("meta"))
    assert there.data.device.type == y.device.type == "meta"
    assert there.batch_sizes.device.type == "cpu"


class Fields(NamedTuple):
    """A batch whose field has the name of a method of tensors."""

    x: Tensor
    to: Tensor


class InPlace(UserDict[str, Tensor]):
    """As the batches of Transformers, which move themselves."""

    def to(self, device: torch.device) -> "InPlace":
        self.data = {name: tensor.to(device) for name, tensor in self.data.items()}
        return self


def test_the_batches_of_the_user_stay_where_they_are() -> None:
    meta = torch.device("meta")
    fields, mapping = Fields(torch.ones(2), torch.ones(2)), InPlace(x=torch.ones(2))
    there, also = moved(fields, meta), moved(mapping, meta)
    assert there.x.device.type == there.to.device.type == also["x"].device.type == "meta"
    assert fields.x.device.type == mapping["x"].device.type == "cpu"


class Attributes(dict[str, Tensor]):
    """Whose items are its attributes."""

    def __init__(self, *given: Any, **items: Tensor) -> None:
        super().__init__(*given, **items)
        self.__dict__ = self


class ReadOnly(Mapping[str, Tensor]):
    """A mapping that nothing can be written to."""

    def __init__(self, items: dict[str, Tensor]) -> None:
        self._items = items

    def __getitem__(self, key: str) -> Tensor:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)


class Encoded(InPlace):
    """As the batches of Transformers, which have more than their items."""

    def __init__(self, length: int, **items: Tensor) -> None:
        super().__init__(**items)
        self.length = length

    @property
    def x(self) -> Tensor:
        return self["x"]


@pytest.mark.parametrize(
    "batch",
    [
        Attributes(x=torch.ones(2)),
        ReadOnly({"x": torch.ones(2)}),
        Encoded(3, x=torch.ones(2)),
        MappingProxyType({"x": torch.ones(2)}),
        defaultdict(list, x=torch.ones(2)),
    ],
    ids=lambda batch: type(batch).__name__,
)
def test_a_mapping_keeps_its_class(batch: Any) -> None:
    there = moved(batch, torch.device("meta"))
    assert type(there) is type(batch)
    assert there["x"].device.type == "meta"
    assert batch["x"].device.type == "cpu"
    assert getattr(there, "x", there["x"]) is there["x"]
    assert getattr(there, "length", None) == getattr(batch, "length", None)


def test_a_loss_finds_the_targets_as_an_attribute() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(6, 3)

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            found: Tensor = self.head(x)
            return found

    torch.manual_seed(0)
    model = Named()
    optimizer = torch.optim.Adam(model.parameters())
    batches = [Attributes(x=x, y=y) for x, y in make_loader()]
    found = find_lr(
        model, optimizer, lambda out, batch: loss_function(out, batch.y), batches, progress=False
    )
    assert found.losses
