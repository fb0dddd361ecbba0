"""JAX arrays and traced values."""

import sys

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

    @staticmethod
    def takes(step: Typed) -> bool:
        jnp = sys.modules["jax"].numpy
        kinds = (jnp.integer, jnp.floating, jnp.bool_)
        return any(jnp.issubdtype(step.dtype, kind) for kind in kinds)
