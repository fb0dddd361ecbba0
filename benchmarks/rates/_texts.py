"""Transfers of a small transformer between texts."""

from functools import partial

from ._data import ciphered, english, transcribed
from ._pretrained import pretrained
from ._task import Task

TASKS = (
    Task(
        "code-english",
        "new head",
        "tuned",
        english,
        partial(pretrained, "code", 64),
        count=200,
        batch_size=12,
    ),
    Task(
        "english-ciphered",
        "input shift",
        "reported",
        partial(transcribed, "english", ciphered),
        partial(pretrained, "english"),
        count=200,
        batch_size=12,
    ),
)
