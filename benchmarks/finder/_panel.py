"""The panel and its two halves, which were fixed by name before anything was tuned.

The halves hold the same kinds of task, on other data, networks or losses: what is tuned on one
transformer is reported on another. Beside them stand fresh tasks (``_fresh``).
"""

from . import _fresh, _images, _tables, _texts
from ._task import Task

TASKS: dict[str, Task] = {
    task.name: task for task in (*_images.TASKS, *_tables.TASKS, *_texts.TASKS, *_fresh.TASKS)
}

TUNED = (
    "digits-dense",
    "digits-finetuned",
    "mnist-deep",
    "mnist-encoder",
    "mnist-conv",
    "fashion-imbalanced",
    "fashion-residual",
    "cancer-tanh",
    "diabetes-dense",
    "english-transformer",
    "passages-embedded",
)

REPORTED = (
    "digits-logistic",
    "mnist-noisy",
    "fashion-deep-tanh",
    "fashion-denoised",
    "fashion-conv-norms",
    "miles-gelu",
    "photograph",
    "code-transformer",
    "code-finetuned",
    "english-recurrent",
    "words-embedded",
)

PARTS = {
    "tuned": TUNED,
    "reported": REPORTED,
    "fresh": tuple(task.name for task in _fresh.TASKS),
}
