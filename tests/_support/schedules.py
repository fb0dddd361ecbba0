"""One or more examples of every shape and combinator, by the expression that makes them."""

from dataclasses import dataclass

from layerwise import schedules
from layerwise.schedules import Schedule


def inverse_time(step):
    """A user's function, the same as Keras' InverseTimeDecay, for numbers and arrays alike."""
    return 1.0 / (1.0 + step / 40.0)


@dataclass(frozen=True, repr=False)
class Sawtooth(Schedule):
    """A schedule of a user's own."""

    period: int
    power: float = 1.0

    def evaluate(self, clock):
        _, phase = clock.cycle(self.period)
        return phase.left(self.period) ** self.power


EXPRESSIONS = (
    "constant()",
    "constant(0.3, steps=50)",
    "linear(90)",
    "linear(90, start=0.2, end=1.7)",
    "warmup(75)",
    "warmup(75, start=0.25)",
    "cosine(110)",
    "cosine(110, start=0.1, end=0.7)",
    "cosine(110, k=1.7)",
    "cosine(110, start=0.1, end=0.7, k=0.6)",
    "quarter_cosine(110)",
    "quarter_cosine(110, start=0.1, end=0.7)",
    "rex(110)",
    "rex(110, start=0.1, end=0.7, beta=0.9)",
    "hyperbolic_tangent(110)",
    "hyperbolic_tangent(110, start=0.1, end=0.7, low=-3.0, high=2.5)",
    "exponential(0.97)",
    "exponential(0.5, every=30)",
    "exponential(0.5, every=30, staircase=True)",
    "exponential(1.01, every=3)",
    "polynomial(85, power=2.5)",
    "polynomial(85, power=0.5, start=2.0, end=0.25)",
    "polynomial(45, power=2.0, end=0.1, cycle=True)",
    "polynomial(85, power=0.5, end=0.1, k=2.5)",
    "polynomial(45, power=2.0, end=0.1, cycle=True, k=1.5)",
    "piecewise_constant([20, 21, 90], [1.0, 0.3, 0.1, 0.03])",
    "piecewise_constant([], [0.4])",
    "inverse_sqrt(40)",
    "inverse_sqrt(40, hold=0)",
    "inverse_sqrt(40, hold=100)",
    "inverse_power(40)",
    "inverse_power(37.5, 0.51)",
    "inverse_power(37.5, 2.0, hold=25)",
    "cyclic(17, low=0.1)",
    "cyclic(17, low=0.0, high=2.0, mode='triangular2')",
    "cyclic(17, low=0.1, mode='exp_range', gamma=0.995)",
    "cyclic(17, low=0.1, decay=0.6, decay_freq=2)",
    "cyclic(17, low=0.1, decay=0.6, mode='triangular2', step_size_down=5)",
    "cosine_restarts(33)",
    "cosine_restarts(33, period_growth=2, peak_decay=0.7, end=0.1)",
    "cosine_restarts(20, period_growth=1.3, peak_decay=0.9)",
    "cosine_restarts(33, peak_decay=0.7, end=0.1, warmup=5, cycles=4, k=1.4)",
    "cosine_restarts(33, 2, 0.7, 0.1, warmup=5, start=0.05, decay_of='peak', cycles=3)",
    "cosine_restarts(20, period_growth=1.3, peak_decay=0.9, warmup=6, cycles=5)",
    "one_cycle(150)",
    "one_cycle(150, peak_at=0.41, anneal='linear')",
    "one_cycle(150, peak_at=0.23, phases=3)",
    "one_cycle(150, anneal='linear', phases=3, return_at=0.85)",
    "one_cycle(150, start=0.95, peak=0.85, end=0.95)",
    "warmup_stable_decay(160, warmup=30, decay=50)",
    "warmup_stable_decay(160, warmup=30, decay=50, shape='cosine', end=0.1)",
    "warmup_stable_decay(160, warmup=0, decay=160, shape='sqrt')",
    "warmup_stable_decay(160, warmup=30, decay=50, shape='sqrt', end=0.2, start=0.1)",
    "from_function(inverse_time, name='inverse_time')",
    "from_function(inverse_time, name='inverse_time', length=60)",
    "warmup(30) >> cosine(100, end=0.1)",
    "warmup(30) >> constant(steps=20) >> cosine_restarts(25, period_growth=2)",
    "cosine(100) * cyclic(13, low=0.2)",
    "0.0003 * cosine(100) * (warmup(10) >> constant())",
    "(warmup(20) >> cosine(60)).clamp(0.2, 0.9)",
    "cosine(60).clamp(low=0.01)",
    "linear(60, end=2.0).clamp(high=1.5)",
    "cosine(60).delay(25)",
    "cosine(85).skip(25)",
    "(warmup(7) >> cosine(21)).repeat().skip(10**6)",
    "warmup(30).skip(30) >> cyclic(17, low=0.1).skip(4)",
    "cosine(60).cut(30)",
    "exponential(0.9).cut(30) >> constant(0.01)",
    "cosine(60).repeat(3, decay=0.5)",
    "(warmup(7) >> cosine(21)).repeat()",
    "cyclic(17, low=0.1).scale_steps(2)",
    "cosine(60).scale_steps(1 / 3)",
    "cosine(60).repeat().scale_steps(0.1).scale_steps(7)",
    "cosine(60).scale_steps(2.718281828)",
    "(cosine(60).scale_steps(0.7).delay(3) * 2.0).repeat(2) >> inverse_sqrt(5)",
)


def evaluate(expression: str) -> Schedule:
    """Make the schedule that an expression describes."""
    names = {name: getattr(schedules, name) for name in schedules.__all__}
    return eval(expression, {"inverse_time": inverse_time}, names)


SCHEDULES = {expression: evaluate(expression) for expression in EXPRESSIONS}
FUNCTIONS = {"inverse_time": inverse_time}
