"""JAX arrays and traced values."""

import sys
from collections.abc import Sequence

from layerwise._unfolded import unfolded
from layerwise.schedules._backends.numpy import NumPyLike, Typed


class JaxArrays(NumPyLike[Typed]):
    """A step that is a JAX array, traced or not."""

    def __init__(self, step: Typed) -> None:
        jnp = sys.modules["jax"].numpy
        super().__init__(jnp, step.shape)
        if jnp.issubdtype(step.dtype, jnp.integer) or step.dtype == bool:
            self.integers = jnp.result_type(int)
            self.working = self.result = jnp.result_type(float)
            self.largest = int(jnp.iinfo(self.integers).max)
            if step.dtype == jnp.uint32 and self.integers == jnp.int32:
                step = jnp.minimum(step, jnp.uint32(self.largest))
        else:
            self.result, self.largest = step.dtype, None
            # Half precision can't even count to 10,000: work in float32, round at the end.
            self.integers = self.working = jnp.promote_types(step.dtype, jnp.float32)
        self.step = step.astype(self.integers)

    @property
    def takes_many(self) -> bool:
        return self.shape == () and self.largest is not None

    def unstacked(self, value: Typed, size: int) -> Sequence[Typed]:
        if not isinstance(self.step, sys.modules["jax"].core.Tracer):
            return super().unstacked(value, size)
        jax, stacked = sys.modules["jax"], self.library.broadcast_to(value, (size,))

        def with_places(step: Typed, stacked: Typed) -> tuple[Typed, ...]:
            return stacked, *(self.library.asarray(place) for place in range(size))

        # XLA would compute all that leads to the values again for each of them, and compile a
        # kernel for each place that it knows. It sees through a maximum of the step and 0, too, so
        # the sign is cleared by its bit.
        step = self.step & self.largest
        stacked, *places = unfolded(jax, with_places, step, stacked.astype(self.result))
        pick = jax.lax.dynamic_index_in_dim
        return [pick(stacked, place, keepdims=False) for place in places]

    @staticmethod
    def takes(step: Typed) -> bool:
        jnp = sys.modules["jax"].numpy
        kinds = (jnp.integer, jnp.floating, jnp.bool_)
        return any(jnp.issubdtype(step.dtype, kind) for kind in kinds)
