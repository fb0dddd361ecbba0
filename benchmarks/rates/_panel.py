"""The panel and its parts, which were fixed by name before anything was measured.

The halves hold the same kinds of transfer, on other data, networks or shifts.
"""

from typing import get_args

from . import _efficientnet, _images, _minilm, _texts
from ._task import Half, Task

TASKS: dict[str, Task] = {
    task.name: task
    for task in (*_images.TASKS, *_texts.TASKS, *_efficientnet.TASKS, *_minilm.TASKS)
}

PARTS: dict[str, tuple[str, ...]] = {
    half: tuple(name for name, task in TASKS.items() if task.half == half)
    for half in get_args(Half)
}
