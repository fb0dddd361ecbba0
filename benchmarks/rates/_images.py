"""Transfers of small networks between images."""

from functools import partial

from ._data import blurred, digits, fashion, inverted, mnist, noisy, renamed, turned
from ._networks import convolutional
from ._pretrained import pretrained
from ._task import Task

_LAST = (5, 6, 7, 8, 9)

TASKS = (
    Task(
        "mnist-digits",
        "new head",
        "tuned",
        digits,
        partial(pretrained, "mnist-dense", 10),
        count=15,
    ),
    Task(
        "fashion-classes",
        "new classes",
        "tuned",
        partial(fashion, only=_LAST),
        partial(pretrained, "fashion-half-dense", 5),
        count=20,
    ),
    Task(
        "fashion-noisy",
        "input shift",
        "tuned",
        partial(fashion, noisy),
        partial(pretrained, "fashion-dense"),
        count=20,
    ),
    Task(
        "fashion-inverted",
        "input shift",
        "tuned",
        partial(fashion, inverted),
        partial(pretrained, "fashion-dense"),
        count=20,
    ),
    Task(
        "fashion-renamed",
        "label shift",
        "tuned",
        partial(fashion, relabel=renamed),
        partial(pretrained, "fashion-dense"),
        count=20,
    ),
    Task("digits-scratch", "from scratch", "tuned", digits, convolutional, count=20),
    Task("fashion-mnist", "new head", "reported", mnist, partial(pretrained, "fashion-conv", 10)),
    Task(
        "mnist-classes",
        "new classes",
        "reported",
        partial(mnist, only=_LAST),
        partial(pretrained, "mnist-half-conv", 5),
        count=20,
    ),
    Task(
        "fashion-blurred",
        "input shift",
        "reported",
        partial(fashion, blurred),
        partial(pretrained, "fashion-dense"),
        count=20,
    ),
    Task(
        "mnist-turned",
        "input shift",
        "reported",
        partial(mnist, turned),
        partial(pretrained, "mnist-conv"),
    ),
    Task(
        "mnist-parity",
        "label shift",
        "reported",
        partial(mnist, relabel=lambda y: y % 2),
        partial(pretrained, "mnist-conv", 2),
        count=50,
    ),
    Task("fashion-scratch", "from scratch", "reported", fashion, convolutional, count=None),
)
