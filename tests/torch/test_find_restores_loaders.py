"""The searches on PyTorch set back the random states of loaders, wherever these are kept."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, Dataset, RandomSampler, Sampler, Subset

from layerwise.torch import find_lr, find_rates
from tests._support.torch.finding import loss_function, make_loader, make_searched
from tests._support.torch.networks import make_batch


class Wrapped:
    """As the data loader of PyTorch's tutorial, around another one."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __iter__(self) -> Iterator[Any]:
        yield from self.inner


class Linked(Wrapped):
    """One that what is in it knows."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        inner.outer = self


class Jitter:
    """A transformation that draws from a generator of its own."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(2)

    def __call__(self, x: Tensor) -> Tensor:
        return x + float(self.random.normal())


class Composed:
    """Several transformations, one after the other."""

    def __init__(self, *transforms: Any) -> None:
        self.transforms = list(transforms)

    def __call__(self, x: Tensor) -> Tensor:
        for each in self.transforms:
            x = each(x)
        return x


class Augmented(Dataset[tuple[Tensor, Tensor]]):
    def __init__(self, transform: Any) -> None:
        self.transform, self.examples = transform, make_batch(0, samples=64)

    def __len__(self) -> int:
        return 64

    def __getitem__(self, place: int) -> tuple[Tensor, Tensor]:
        x, y = self.examples
        return self.transform(x[place]), y[place]


class Outer(Sampler[int]):
    """A sampler around another one."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __iter__(self) -> Iterator[int]:
        return iter(self.inner)

    def __len__(self) -> int:
        return len(self.inner)


def around(wrap: Callable[[Any], Any]) -> tuple[Any, Callable[[], Any]]:
    generator = torch.Generator().manual_seed(3)
    return wrap(make_loader(generator=generator)), lambda: generator.get_state().tolist()


def augmented(wrap: Callable[[Any], Any]) -> tuple[Any, Callable[[], Any]]:
    jitter = Jitter()
    loader = DataLoader(wrap(Augmented(Composed(abs, jitter))), batch_size=8, shuffle=True)
    return loader, lambda: jitter.random.bit_generator.state


def sampled() -> tuple[Any, Callable[[], Any]]:
    generator = torch.Generator().manual_seed(3)
    data = make_loader().dataset
    inner = RandomSampler(range(64), generator=generator)
    loader = DataLoader(data, batch_size=8, sampler=Outer(inner))
    return loader, lambda: generator.get_state().tolist()


LOADERS: dict[str, Callable[[], tuple[Any, Callable[[], Any]]]] = {
    "wrapped": lambda: around(Wrapped),
    "wrapped twice": lambda: around(lambda loader: Wrapped(Wrapped(loader))),
    "in a circle": lambda: around(Linked),
    "a sampler in a sampler": sampled,
    "a transformation in a list": lambda: augmented(lambda data: data),
    "joined": lambda: augmented(lambda data: ConcatDataset([data, data])),
    "a part of joined ones": lambda: augmented(
        lambda data: Subset(ConcatDataset([data]), range(60))
    ),
}


@pytest.mark.parametrize("search", [find_lr, find_rates])
@pytest.mark.parametrize("name", LOADERS)
def test_random_states_of_loaders_are_as_they_were(name: str, search: Any) -> None:
    model, optimizer = make_searched()
    loader, state = LOADERS[name]()
    before = state()
    search(model, optimizer, loss_function, loader, progress=False)
    assert state() == before
    list(loader)
    assert state() != before
