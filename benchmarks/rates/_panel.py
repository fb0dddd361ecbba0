"""The panel and its parts, which were fixed by name before anything was measured.

The halves hold the same kinds of transfer, on other data, networks or shifts. Later, more were
added to the tuned half (``_more``). Beside the halves stand fresh tasks (``_fresh``).
"""

from typing import get_args

from . import _efficientnet, _fresh, _images, _minilm, _more, _texts
from ._task import Half, Task

_MODULES = (_images, _texts, _more, _minilm, _efficientnet, _fresh)

TASKS: dict[str, Task] = {task.name: task for module in _MODULES for task in module.TASKS}

PARTS: dict[str, tuple[str, ...]] = {
    half: tuple(name for name, task in TASKS.items() if task.half == half)
    for half in get_args(Half)
}
