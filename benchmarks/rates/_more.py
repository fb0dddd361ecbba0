"""Transfers that were added to the tuned half, so that choices hang on more than seven tasks."""

from functools import partial

from ._data import (
    blurred,
    ciphered,
    digits,
    english,
    fashion,
    inverted,
    mnist,
    noisy,
    renamed,
    transcribed,
    turned,
)
from ._networks import Transformer, dense
from ._pretrained import pretrained
from ._task import Task

TASKS = (
    Task("mnist-fashion", "new head", "tuned", fashion, partial(pretrained, "mnist-dense", 10)),
    Task("fashion-digits", "new head", "tuned", digits, partial(pretrained, "fashion-conv", 10)),
    Task(
        "digits-mnist",
        "new head",
        "tuned",
        mnist,
        partial(pretrained, "digits-half-dense", 10),
        count=20,
    ),
    Task(
        "mnist-digits-more",
        "new head",
        "tuned",
        digits,
        partial(pretrained, "mnist-dense", 10),
        count=30,
    ),
    Task(
        "mnist-noisy",
        "input shift",
        "tuned",
        partial(mnist, noisy),
        partial(pretrained, "mnist-conv"),
    ),
    Task(
        "mnist-inverted",
        "input shift",
        "tuned",
        partial(mnist, inverted),
        partial(pretrained, "mnist-dense"),
    ),
    Task(
        "mnist-blurred",
        "input shift",
        "tuned",
        partial(mnist, blurred),
        partial(pretrained, "mnist-dense"),
        count=5,
    ),
    Task(
        "fashion-turned",
        "input shift",
        "tuned",
        partial(fashion, turned),
        partial(pretrained, "fashion-conv"),
        count=20,
    ),
    Task(
        "fashion-inverted-much",
        "input shift",
        "tuned",
        partial(fashion, inverted),
        partial(pretrained, "fashion-conv"),
        count=None,
    ),
    Task(
        "code-ciphered",
        "input shift",
        "tuned",
        partial(transcribed, "code", ciphered),
        partial(pretrained, "code"),
        count=200,
        batch_size=12,
    ),
    Task(
        "fashion-parity",
        "label shift",
        "tuned",
        partial(fashion, relabel=lambda y: y % 2),
        partial(pretrained, "fashion-dense", 2),
        count=50,
    ),
    Task(
        "fashion-conv-renamed",
        "label shift",
        "tuned",
        partial(fashion, relabel=renamed),
        partial(pretrained, "fashion-conv"),
    ),
    Task("mnist-dense-scratch", "from scratch", "tuned", mnist, dense, count=20),
    Task(
        "english-scratch",
        "from scratch",
        "tuned",
        english,
        Transformer,
        count=200,
        batch_size=12,
    ),
)
