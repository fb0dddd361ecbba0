"""Ordinary transfers that no constant was fitted to: made after the others.

They are no longer unseen: they were measured with several versions of the search.
"""

from functools import partial

from ._data import code, digits, faded, fashion, mnist, noisy, renamed, translated, turned
from ._networks import Transformer, convolutional
from ._pretrained import pretrained
from ._task import Task

TASKS = (
    Task(
        "english-code",
        "new head",
        "fresh",
        code,
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
    Task(
        "mnist-half-digits",
        "new head",
        "fresh",
        digits,
        partial(pretrained, "mnist-half-conv", 10),
        count=15,
    ),
    Task(
        "fashion-classes-conv",
        "new classes",
        "fresh",
        partial(fashion, only=(5, 6, 7, 8, 9)),
        partial(pretrained, "fashion-half-conv", 5),
    ),
    Task(
        "digits-turned",
        "input shift",
        "fresh",
        partial(digits, turned, only=(0, 1, 2, 3, 4)),
        partial(pretrained, "digits-half-dense"),
    ),
    Task(
        "fashion-faded",
        "input shift",
        "fresh",
        partial(fashion, faded),
        partial(pretrained, "fashion-dense"),
        count=15,
    ),
    Task(
        "mnist-reversed",
        "label shift",
        "fresh",
        partial(mnist, relabel=lambda y: 9 - y),
        partial(pretrained, "mnist-conv"),
    ),
    Task("code-scratch", "from scratch", "fresh", code, Transformer, count=300, batch_size=12),
)
