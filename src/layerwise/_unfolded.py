"""Keeps the numbers of a compiled JAX step out of the kernels that use them."""

from collections.abc import Callable
from types import ModuleType
from typing import TypeVar

Numbers = TypeVar("Numbers")


def unfolded(
    jax: ModuleType, compute: Callable[..., Numbers], step: object, *operands: object
) -> Numbers:
    """``compute(step, *operands)``, whose results XLA treats as variables.

    XLA compiles kernels that differ in a constant one by one: 200 multipliers took 7 times as long
    to compile on a CPU as one. It also repeats a schedule inside every kernel that uses it. CPUs
    ignore XLA's optimization barrier, but the result of a branch stays a number in memory; the
    branch is always taken, and XLA can't know that. On other devices a branch would wait for the
    device, so they get the barrier.

    Args:
        jax: The module ``jax``, handed in because no noun may import it.
        compute: A function of traced values that returns arrays, in any tree.
        step: A traced integer that is never negative.
        operands: More arguments for ``compute``.

    Returns:
        The tree of arrays that ``compute`` returns.
    """
    compute = jax.jit(compute)  # traced once for all that follows
    shapes = jax.eval_shape(compute, step, *operands)

    def never(*_: object) -> object:
        return jax.tree.map(lambda a: jax.numpy.zeros(a.shape, a.dtype), shapes)

    def branch(step: int, *operands: object) -> object:
        return jax.lax.cond(step >= 0, compute, never, step, *operands)

    def barrier(*arguments: object) -> object:
        return jax.lax.optimization_barrier(compute(*arguments))

    result: Numbers = jax.lax.platform_dependent(step, *operands, cpu=branch, default=barrier)
    return result
