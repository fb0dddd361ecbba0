"""How much memory a search takes above plain training, measured in a process of its own.

The module of such a process hands :func:`compare` how to train and how to search. There are two
measures. :func:`jax_arrays` and its like count a
framework's arrays between updates: that is exact. :func:`peak` is the kernel's, of all memory, and
sees the moments that nothing can count in, such as those of putting back.
"""

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests._support.own_process import report, reported

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")

needs_peaks = pytest.mark.skipif(not RESET.exists(), reason="it is Linux that tells peaks")

WIDTH, LAYERS = 1024, 8
STATE = 3 * LAYERS * 4 * WIDTH**2
"""The bytes of a copy: square kernels in float32, and Adam's two slots for each; 100 MB."""

LEAST, MOST = 0.75, 1.5
"""Between these is what the kernel tells of one copy, in copies.

Should two be there for a moment, it tells of two. Beside the copy a search has what it compiles,
and allocators keep some of what is freed: 1.01 to 1.22 were seen, on five backends.
"""

EXACT = 0.02
"""How far counted arrays may be off, in copies: a search keeps the batches that it drew."""


def forget_peak() -> None:
    """Let the peak begin anew, from what is held now."""
    RESET.write_text("5")


def peak() -> int:
    """The most bytes that this process held at once since then."""
    lines = STATUS.read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024


def jax_arrays() -> int:
    """The bytes of all arrays that JAX holds now."""
    import jax

    return sum(array.nbytes for array in jax.live_arrays())


def torch_arrays() -> int:
    """The bytes of all tensors that PyTorch holds now, gradients too; shared memory once."""
    import torch

    storages = [t.untyped_storage() for t in gc.get_objects() if issubclass(type(t), torch.Tensor)]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def tensorflow_arrays() -> int:
    """The bytes of all tensors that TensorFlow holds now, beside its variables."""
    import tensorflow as tf

    kind = type(tf.constant(0.0))
    tensors = [thing for thing in gc.get_objects() if type(thing) is kind]
    return sum(tensor.dtype.size * tensor.shape.num_elements() for tensor in tensors)


def compare(
    train: Callable[[Callable[[], None]], None],
    search: Callable[[Callable[[Any], bool]], Any],
    arrays: Callable[[], int],
) -> None:
    """Train twice, search, and hand over by how many copies the search took more.

    Args:
        train: Trains plainly, and calls what it is given after each update.
        search: Searches with this ``stop=``; its finding.
        arrays: The bytes that the framework holds.
    """
    trained: list[int] = []
    searched: list[int] = []

    def watch(smoothed: Any) -> bool:
        if len(smoothed) % 7 == 0:
            searched.append(arrays())
        return False

    train(lambda: None)
    forget_peak()
    train(lambda: trained.append(arrays()))
    plain = peak()
    forget_peak()
    found = search(watch)
    report(
        peak=(peak() - plain) / STATE,
        arrays=(max(searched) - max(trained)) / STATE,
        probes=len(found.probes),
    )


def measured(module: str, *arguments: str) -> dict[str, Any]:
    """What ``python -m module`` reports."""
    # What is freed goes back to the system at once, or peaks would depend on what was before.
    return reported(module, *arguments, MALLOC_MMAP_THRESHOLD_="65536", OMP_NUM_THREADS="1")


def check_copies(module: str, argument: str, arrays: float = 1.0, beside: float = 0.0) -> None:
    """A search by this module keeps one copy.

    Args:
        module: What calls :func:`compare`.
        argument: Its argument.
        arrays: How many copies are the framework's own arrays.
        beside: What is kept beside the copy, in copies.
    """
    found = measured(module, argument)
    assert found["probes"] >= 3  # it was put back in between
    assert LEAST + beside < found["peak"] < MOST + beside
    assert found["arrays"] == pytest.approx(arrays + beside, abs=EXACT)
