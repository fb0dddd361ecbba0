"""Images and texts that packages ship, as tensors: what is learnt first, drawn from, tested on."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.finder import _data as arrays

from ._task import Data, Examples

LENGTH = 16
_STRIDES = {"english": 5, "code": 17}


@cache
def images(source: str) -> tuple[Examples, Data]:
    """Images of 14 x 14: those to pretrain on, and the pool and test set, that it has not seen.

    Args:
        source: "fashion", "mnist" or "digits".
    """
    if source == "fashion":
        pixels, labels = arrays.fashion(12_000)
        cuts = (6_000, 10_000)
    elif source == "mnist":
        pixels, labels = arrays.mnist()
        cuts = (2_500, 3_700)
    else:
        pixels, labels = arrays.digits()
        cuts = (500, 900)
    x, y = torch.tensor(pixels)[:, None], torch.tensor(labels, dtype=torch.int64)
    if source == "digits":
        x = functional.interpolate(x, size=(14, 14), mode="bilinear", align_corners=True)
    order = np.random.default_rng(99).permutation(len(y))
    first, pool, test = (Examples(x, y).at(places) for places in np.split(order, cuts))
    return first, Data(pool, test)


def scaled(x: Tensor) -> Tensor:
    """Pixels in 0..1, brought to what networks take."""
    return (x - 0.3) / 0.35


def shifted(
    source: str,
    change: Callable[[Tensor], Tensor] | None = None,
    relabel: Callable[[Tensor], Tensor] | None = None,
    only: tuple[int, ...] | None = None,
) -> Data:
    """Pool and test set of images, with a shift.

    Args:
        source: Whose images.
        change: Done to the pixels, which are in 0..1.
        relabel: Done to the labels.
        only: The classes that are kept; they are counted anew from 0.
    """
    parts = []
    for part in images(source)[1]:
        x, y = chosen(part, only)
        x = x if change is None else change(x)
        parts.append(Examples(scaled(x), y if relabel is None else relabel(y)))
    return Data(*parts)


def chosen(examples: Examples, only: tuple[int, ...] | None) -> Examples:
    """The examples of some classes, which are counted anew from 0."""
    if only is None:
        return examples
    kept = torch.isin(examples.y, torch.tensor(only))
    renamed = torch.tensor([only.index(k) if k in only else -1 for k in range(10)])
    return Examples(examples.x[kept], renamed[examples.y[kept]])


def noisy(x: Tensor) -> Tensor:
    """With noise that is the same in every run."""
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(len(x)))
    return x + 0.5 * noise


def inverted(x: Tensor) -> Tensor:
    """Black for white."""
    return 1 - x


def blurred(x: Tensor) -> Tensor:
    """Each pixel the mean of 5 x 5."""
    return functional.avg_pool2d(x, 5, stride=1, padding=2)


def faded(x: Tensor) -> Tensor:
    """With a third of the contrast, and brighter."""
    return 0.33 * x + 0.5


def turned(x: Tensor) -> Tensor:
    """By a quarter."""
    return torch.rot90(x, 1, (2, 3))


def translated(x: Tensor) -> Tensor:
    """Three pixels to the right and down; what leaves on one side comes in on the other."""
    return x.roll((3, 3), (2, 3))


def renamed(y: Tensor) -> Tensor:
    """Another name for each of ten classes."""
    return (7 * y + 3) % 10


@cache
def texts(source: str) -> tuple[Examples, Data]:
    """Texts of 16 characters and each's next one: for pretraining, as a pool, as a test set.

    Args:
        source: "english" or "code".
    """
    text = arrays.english() if source == "english" else "".join(arrays.modules())
    codes = arrays.characters(text, LENGTH, _STRIDES[source])
    # In three parts of the text: neighbouring windows overlap.
    count = len(codes)
    parts: list[Any] = np.split(codes, (int(0.6 * count), int(0.8 * count)))
    rng = np.random.default_rng(99)
    first, pool, test = (_predicting(rng.permutation(part)) for part in parts)
    return first, Data(pool, test.at(np.arange(600)))


def english() -> Data:
    """Pool and test set of English."""
    return texts("english")[1]


def code() -> Data:
    """Pool and test set of Python."""
    return texts("code")[1]


def transcribed(source: str, change: Callable[[Tensor], Tensor]) -> Data:
    """Pool and test set of texts whose inputs are in another script; the labels are not."""
    return Data(*(Examples(change(part.x), part.y) for part in texts(source)[1]))


def ciphered(codes: Tensor) -> Tensor:
    """Another character for each."""
    order = np.random.default_rng(5).permutation(64)
    return torch.tensor(order)[codes]


def _predicting(codes: Any) -> Examples:
    windows = torch.tensor(codes, dtype=torch.int64)
    return Examples(windows[:, :-1], windows[:, 1:])


fashion, mnist, digits = (partial(shifted, source) for source in ("fashion", "mnist", "digits"))
