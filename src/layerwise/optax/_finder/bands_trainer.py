"""The finder's protocol for bands on Optax: the rates are an argument of the compiled step.

Probes are trained one after the other, not together under ``jax.vmap``: where the next one goes
depends on the scores of all before it. Only the two sweeps, and the two probes on the sides of the
first, could share a step. They are a tenth of the updates, and compiling that step takes longer
than it would save.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax

from layerwise.finder import Bands, relative
from layerwise.optax._finder.base_rate import UpdateAtRate
from layerwise.optax._finder.given_arrays import named_in_errors
from layerwise.optax._finder.trainer import Evaluated, OptaxTrainer, Tree
from layerwise.optax._parameters import flatten, is_hidden
from layerwise.optax._plan import TreePlan
from layerwise.optax._transforms.factors import Active, along, mask_gradient, scaled_updates

Floats = npt.NDArray[np.float64]


class BandRates(NamedTuple):
    """The rates of one update.

    Attributes:
        base: The base rate.
        factors: The factor on it for each row of the plan.
    """

    base: float
    factors: Floats


@dataclass(frozen=True)
class RowBands:
    """Which band each row of a plan is in.

    Attributes:
        found: The plan.
        band: The number of the band of each row; -1 for a row that is in none.
        fixed: The multiplier of each row that is in no band.
    """

    found: TreePlan
    band: npt.NDArray[np.int64]
    fixed: Floats

    @classmethod
    def of(cls, found: TreePlan, bands: Bands) -> "RowBands":
        """The rows of a plan that the bands were made from."""
        parameters = [row.parameter for row in found.plan.rows]
        numbers = map(bands.number_of, parameters)
        return cls(
            found,
            np.array([-1 if number is None else number for number in numbers]),
            np.array(list(map(bands.fixed_of, parameters))),
        )

    def spread(self, of_band: Sequence[float], others: float) -> Floats:
        """The value of its band for each row.

        Args:
            of_band: One value for each band.
            others: The value of the rows that are in no band.
        """
        return np.array([*of_band, others])[self.band]

    def of_leaf(self, place: int, values: jax.Array) -> jax.Array:
        """The values of a leaf's rows, so that they broadcast against the leaf."""
        leaf, rows = self.found.leaves[place], self.found.rows[place]
        return values[rows[0]] if leaf.stack is None else along(leaf, values[np.array(rows)])

    def frozen(self, place: int) -> bool:
        """Whether a leaf never trains."""
        return all(self.band[r] < 0 and self.fixed[r] == 0 for r in self.found.rows[place])


@dataclass(frozen=True)
class BandsUpdate:
    """An optimizer's update with a rate for each row, as ``with_multipliers`` would give it.

    Attributes:
        update_at: The optimizer.
        rows: The rows.
    """

    update_at: UpdateAtRate
    rows: RowBands

    def update(
        self,
        rate: BandRates,
        gradients: optax.Updates,
        state: optax.OptState,
        params: optax.Params,
        **extra_args: optax.Params,
    ) -> tuple[optax.Updates, optax.OptState]:
        """The updates at these rates, and the new state."""
        values, structure = flatten(gradients)
        every = jnp.asarray(rate.factors, float)
        factors = [self.rows.of_leaf(place, every) for place in range(len(values))]
        active: list[Active] = [
            not self.rows.frozen(place) and factor != 0 for place, factor in enumerate(factors)
        ]
        masked = jax.tree.unflatten(structure, list(map(mask_gradient, values, active)))
        updates, state = self.update_at.update(rate.base, masked, state, params, **extra_args)
        alone = [(factor,) for factor in factors]
        done = scaled_updates(flatten(updates)[0], alone, active, self.rows.found.leaves)
        return jax.tree.unflatten(structure, done), state


class BandsTrainer:
    """Trains at a rate for each band; see ``layerwise.finder.RatesTrainer``.

    Args:
        trainer: What trains.
        rows: The bands of the rows.
        loss: The loss of a batch.
        jit: Whether to compile it.
    """

    def __init__(
        self, trainer: OptaxTrainer[BandRates], rows: RowBands, loss: Evaluated, *, jit: bool
    ) -> None:
        self._trainer, self._rows = trainer, rows

        def loss_alone(params: optax.Params, extra: Tree, batch: Tree) -> jax.Array:
            return loss(params, extra, batch)[0]

        self._loss, self._jit = jax.jit(loss_alone) if jit else loss_alone, jit
        self._move = jax.jit(self._moved)

    def snapshot(self) -> Callable[[], None]:
        """See ``layerwise.finder.RatesTrainer``."""
        return self._trainer.snapshot()

    def restore(self, state: Callable[[], None]) -> None:
        """See ``layerwise.finder.RatesTrainer``."""
        self._trainer.restore(state)

    def train(self, batch: Sequence[Tree], rates: Sequence[float]) -> float:
        """See ``layerwise.finder.RatesTrainer``."""
        base, shares = relative(rates)
        factors = self._rows.spread(shares, others=1.0) * self._rows.fixed
        return self._trainer.train(batch, BandRates(base, factors))

    def score(
        self, batches: Sequence[Sequence[Tree]], stretch: Sequence[float] | None = None
    ) -> float:
        """See ``layerwise.finder.RatesTrainer``."""
        params, _, extra = self._trainer.now()
        if stretch is not None:
            far = self._rows.spread(stretch, others=1.0)
            params = self._move(self._trainer.start(), params, far)
        losses = [self._loss_of(params, extra, one) for batch in batches for one in batch]
        return sum(map(float, losses)) / len(losses)

    def _loss_of(self, params: optax.Params, extra: Tree, batch: Tree) -> jax.Array:
        with named_in_errors(batch, extra, jit=self._jit):
            return self._loss(params, extra, batch)

    def _moved(self, start: optax.Params, now: optax.Params, far: jax.Array) -> optax.Params:
        """Parameters further along their way; where ``far`` is 1, bit for bit as they are."""
        every = jnp.asarray(far, float)
        values, structure = flatten(now)
        moved: list[jax.Array | optax.MaskedNode] = []
        for place, (begin, value) in enumerate(zip(flatten(start)[0], values, strict=True)):
            if is_hidden(value):
                moved.append(value)
                continue
            own = self._rows.of_leaf(place, every)
            new = begin + own * (value - begin)
            moved.append(jnp.where(own == 1, value, new.astype(value.dtype)))
        return jax.tree.unflatten(structure, moved)
