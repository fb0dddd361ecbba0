"""Networks that have learnt the old task; made once, and kept in a folder that git ignores."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from layerwise import cosine
from layerwise.torch import ScheduleLR

from ._data import chosen, images, scaled, texts
from ._networks import Transformer, convolutional, dense
from ._task import Examples, batches_of
from ._training import run

CACHE = Path(__file__).parent.parent / ".cache" / "rates"
_UPDATES, _BATCH, _RATE = 800, 64, 3e-3
_FIRST = tuple(range(5))


def _loss(outputs: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(outputs.flatten(0, -2), labels.flatten())


def _images(source: str, only: tuple[int, ...] | None = None) -> Examples:
    x, y = chosen(images(source)[0], only)
    return Examples(scaled(x), y)


# What each is made of and learns from.
_RECIPES: dict[str, tuple[Callable[[], nn.Module], Callable[[], Examples]]] = {
    "fashion-dense": (dense, lambda: _images("fashion")),
    "fashion-conv": (convolutional, lambda: _images("fashion")),
    "fashion-half-dense": (lambda: dense(5), lambda: _images("fashion", _FIRST)),
    "fashion-half-conv": (lambda: convolutional(5), lambda: _images("fashion", _FIRST)),
    "mnist-dense": (dense, lambda: _images("mnist")),
    "mnist-conv": (convolutional, lambda: _images("mnist")),
    "mnist-half-conv": (lambda: convolutional(5), lambda: _images("mnist", _FIRST)),
    "digits-half-dense": (lambda: dense(5), lambda: _images("digits", _FIRST)),
    "code": (Transformer, lambda: texts("code")[0]),
    "english": (Transformer, lambda: texts("english")[0]),
}


def pretrained(name: str, classes: int | None = None) -> nn.Module:
    """A network that has learnt, with a new head of so many classes if that is given."""
    model = _RECIPES[name][0]()
    model.load_state_dict(_weights(name))
    if classes is not None:
        assert isinstance(model.head, nn.Linear)
        model.head = nn.Linear(model.head.in_features, classes)
    return model


@cache
def _weights(name: str) -> dict[str, Tensor]:
    place = CACHE / "pretrained" / f"{name}.pt"
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        model = _learn(name)
        partial = place.with_suffix(".part")
        torch.save(model.state_dict(), partial)
        partial.replace(place)  # whole or not at all
    weights: dict[str, Tensor] = torch.load(place, weights_only=True)
    return weights


def _learn(name: str) -> nn.Module:
    network, examples = _RECIPES[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=_RATE)
    scheduler = ScheduleLR(optimizer, cosine(_UPDATES))
    run(model, optimizer, _loss, batches_of(examples(), 7, _UPDATES, _BATCH), scheduler.step)
    return model
