"""What an optimizer is told beside gradients: what was in the updates, and how metrics turned out.

Both are kept in variables that come after those of the plain optimizer: the counts, and then the
state of each plateau.
"""

from collections.abc import Mapping, Sequence
from typing import SupportsFloat

import numpy as np
from keras import Variable
from keras.optimizers import Optimizer

from layerwise.errors import OptimizerError
from layerwise.keras._by_metric.plateau_variables import PlateauVariables
from layerwise.keras._internals.values import Tensor, copy_of
from layerwise.keras._moving.counts import Counts
from layerwise.keras._moving.factors import Factors
from layerwise.keras._optimizer.plan import step_of
from layerwise.keras._optimizer.update import MultipliedUpdate
from layerwise.multipliers import Plan, Value
from layerwise.schedules import PlateauDecisions, PlateauEvent, counters_of


class InformedOptimizer(MultipliedUpdate):
    """An optimizer whose rates may follow what is counted, and what metrics decide.

    Attributes:
        _plateaus: What metrics have decided.
    """

    _plateaus: PlateauVariables

    def follow(self, plan: Plan) -> Plan:
        """Make the variables that a plan needs, after all those of the plain optimizer.

        Returns:
            The plan, with schedules that read these variables.
        """
        values = [*_multipliers(plan), *_decays(plan), plan.schedule]
        moving = [*values, *self._hyperparameters.given.values()]
        self._counts = Counts(counters_of(moving), still=self._counts.still)
        self._counts.build(self)
        self._plateaus = PlateauVariables(self, moving)
        plan = self._plateaus.live(plan)
        self._hyperparameters = self._hyperparameters.changed(self._plateaus.live_value)
        self.use_factors(Factors(_multipliers(plan), plan.schedule, _decays(plan)))
        return plan

    def go_on_from(self, source: Optimizer, own: Sequence[Variable]) -> None:
        """Take over the state of an optimizer of the same variables.

        Args:
            source: The optimizer.
            own: This one's variables that a plain optimizer has, too.
        """
        for mine, its in zip(own, source.variables[: len(own)], strict=True):
            mine.assign(copy_of(its))
        if isinstance(source, InformedOptimizer):
            self._counts.take_over(source._counts)
            self._plateaus.take_over(source._plateaus)

    def load_own_variables(self, store: Mapping[str, object]) -> None:
        """Called by Keras to load a file, which may be that of a plain optimizer."""
        more = len(self._counts.variables) + len(self._plateaus.variables)
        plain = self.variables[: len(self.variables) - more]
        if more and len(store.keys()) == len(plain):
            for place, variable in enumerate(plain):
                variable.assign(store[str(place)])
            for variable in self.variables[len(plain) :]:  # nothing is known of these
                variable.assign(np.zeros(variable.shape, "int32"))
        else:
            super().load_own_variables(store)
        self._plateaus.read()

    # -- counts -------------------------------------------------------------------------------

    @property
    def counts(self) -> dict[str, int]:
        """What the updates so far were made of, by the name that a schedule counts it by.

        It can be set: ``optimizer.counts = {"tokens": 1_000_000}``.
        """
        return self._counts.on_host()

    @counts.setter
    def counts(self, counts: Mapping[str, int]) -> None:
        self._check_built("counts")
        self._counts.set(counts)

    def count(self, **amounts: int | Tensor) -> None:
        """Count what is in the next update, for schedules ``.by("tokens")``.

        Call it before each ``apply()`` with what is in that batch; ``fit`` does it with the
        callback ``layerwise.keras.callbacks.Counter``. The rate of an update depends on the
        updates before it. Under gradient accumulation, all batches of an update are counted, and
        the rates move when it has been applied. In a replica of a ``tf.distribute`` strategy,
        count what is in the replica's part of the batch: the optimizer counts all replicas.

        Args:
            amounts: Whole numbers by name, ``optimizer.count(tokens=4096)``; or integer tensors,
                inside a compiled function too.

        Raises:
            OptimizerError: The optimizer has not seen its variables yet.
            ScheduleError: No schedule counts this, or it is no number of at least 0.

        Examples:
            >>> import keras
            >>> from layerwise import linear
            >>> from layerwise.keras import LRMultiplier
            >>> weight = keras.Variable([1.0])
            >>> optimizer = LRMultiplier(
            ...     keras.optimizers.SGD(1.0), schedule=linear(1_000).by("tokens")
            ... )
            >>> optimizer.build([weight])
            >>> optimizer.count(tokens=500)
            >>> optimizer.apply([keras.ops.ones(1)], [weight])
            >>> optimizer.counts, list(optimizer.learning_rates().values())
            ({'tokens': 500}, [0.5])
        """
        self._check_built("count()")
        self._counts.add(amounts)

    def stateless_count(
        self, optimizer_variables: Sequence[Tensor], **amounts: int | Tensor
    ) -> list[Tensor]:
        """``count`` for a loop with ``stateless_apply``: takes and returns the variables' values.

        Args:
            optimizer_variables: The values of ``optimizer.variables``.
            amounts: As for ``count``.
        """
        self._check_built("stateless_count()")
        return self._counts.added(self.variables, optimizer_variables, amounts)

    def _check_built(self, what: str) -> None:
        if not self.built:
            raise OptimizerError(
                f"The optimizer {self.name!r} has not seen its variables yet, and {what} needs "
                "them. Call optimizer.build(model.trainable_variables) first."
            )

    def hyperparameters(self) -> dict[str, float]:
        """The value of each hyperparameter that moves, for the next update, by name."""
        return self._hyperparameters.now(step_of(self), self.counts)

    # -- metrics ------------------------------------------------------------------------------

    def report(self, metrics: Mapping[str, SupportsFloat] | SupportsFloat) -> list[PlateauEvent]:
        """Report metrics to the rules that they decide; in ``fit``, ``ReportMetrics`` does it.

        What is decided counts from the next update on, is saved with the optimizer's variables,
        and compiles nothing again.

        Args:
            metrics: The metrics by name, or a number if only one is watched. Others are ignored.

        Returns:
            What happened, for each plateau whose metric was reported.

        Raises:
            ScheduleError: No metric decides anything here, none that is watched was reported, or
                one is no number.
        """
        return self._plateaus.report(metrics)

    @property
    def decisions(self) -> PlateauDecisions:
        """What reports of metrics have decided so far."""
        self._plateaus.read()
        return self._plateaus.decisions

    def decided(self, value: Value) -> Value:
        """A multiplier or schedule of an unbuilt plan as metrics have decided by now."""
        decided: Value = self._plateaus.decisions.applied_to(value)
        return decided


def _multipliers(plan: Plan) -> list[Value]:
    return [row.value for row in plan.rows]


def _decays(plan: Plan) -> list[Value]:
    """The multipliers of weight decay; none if no rule decides one."""
    return [row.decay for row in plan.rows] if plan.has_decay_rules else []
