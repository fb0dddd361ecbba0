"""Ordinary transfers that nothing was chosen on: made after the others, and measured once."""

from functools import partial

from ._data import digits, fashion, mnist, noisy, renamed, texts, translated
from ._networks import convolutional
from ._pretrained import pretrained
from ._task import Data, Task


def _code() -> Data:
    return texts("code")[1]


TASKS = (
    Task(
        "english-code",
        "new head",
        "fresh",
        _code,
        partial(pretrained, "english", 64),
        count=200,
        batch_size=12,
    ),
    Task(
        "digits-classes",
        "new classes",
        "fresh",
        partial(digits, only=(5, 6, 7, 8, 9)),
        partial(pretrained, "digits-half-dense", 5),
    ),
    Task(
        "fashion-translated",
        "input shift",
        "fresh",
        partial(fashion, translated),
        partial(pretrained, "fashion-conv"),
    ),
    Task(
        "mnist-renamed",
        "label shift",
        "fresh",
        partial(mnist, relabel=renamed),
        partial(pretrained, "mnist-dense"),
        count=15,
    ),
    Task(
        "fashion-noisy-much",
        "input shift",
        "fresh",
        partial(fashion, noisy),
        partial(pretrained, "fashion-conv"),
        count=None,
    ),
    Task("mnist-scratch", "from scratch", "fresh", mnist, convolutional, count=50),
)
