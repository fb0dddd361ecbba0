"""The options of a search for rates: documented and checked here once, for all ``find_rates``."""

from dataclasses import dataclass
from typing import Literal, TypedDict, get_args

from layerwise._checks import choice, number, whole
from layerwise.errors import FinderError
from layerwise.finder._course import Course, check_course
from layerwise.finder._options import Memory, check_range, keep_checked

Divide = Literal["examples", "batches"]

BUDGET = 1500  # updates, unless a third of the training is more
SHORTEST = 10  # updates of a probe


class RatesKeywords(TypedDict, total=False):
    """The options as keyword arguments; ``RatesOptions`` says what each of them means.

    Examples:
        >>> from typing import Unpack
        >>> def find_rates(model: object, **options: Unpack[RatesKeywords]) -> RatesOptions:
        ...     return RatesOptions(**options)
        >>> find_rates("a model", horizon=9000).updates
        3000
    """

    budget: int | None
    horizon: int | None
    schedule: Course | None
    low: float
    high: float
    most_bands: int
    divisions: int
    divide: Divide
    share: float
    seed: int
    memory: Memory
    accumulate: int | None
    progress: bool


@dataclass(frozen=True, kw_only=True)
class RatesOptions:
    """How to search for a rate for each band of layers. The values are checked when it is made.

    Attributes:
        budget: The most updates that the search may take, at least 1; scoring as many batches as an
            update takes counts as one. By default 1,500, or a third of ``horizon`` if that is more.
        horizon: The number of updates of the training to come, at least 10, if it is known. Probes
            are never longer; if the budget allows, they are whole trainings.
        schedule: How the rate of the training will go: ``"falling"`` (to 0), ``"constant"``, or a
            schedule of Layerwise; by default what the optimizer or its scheduler says, and
            ``"falling"`` if they say nothing.
        low: The lowest rate of the sweep that the search begins with, above 0.
        high: The highest rate of that sweep, above ``low``.
        most_bands: The most bands that the levels of a model are pooled to, at least 1.
        divisions: In how many ways the data is divided into a part to train on and a part that is
            held out, at least 1.
        divide: What is divided: ``"examples"``, where all arrays of a batch have an axis of
            examples in front, or ``"batches"``, where that is another axis, or batches are made
            so that their examples belong together.
        share: The share of the data that is held out, between 0 and 1.
        seed: The seed that the divisions are drawn with, at least 0.
        memory: Where ``find_rates`` keeps the copy of model and optimizer: ``"device"``, beside
            the original, or ``"host"``.
        accumulate: How many batches ``find_rates`` puts into one update, at least 1; by default as
            many as the optimizer is known to take, else 1.
        progress: Whether to show how far it is, on standard error: a bar in a terminal, else a line
            every ten seconds.

    Raises:
        FinderError: A value is out of its range.

    Examples:
        >>> RatesOptions().updates, RatesOptions(horizon=6000).updates
        (1500, 2000)
    """

    budget: int | None = None
    horizon: int | None = None
    schedule: Course | None = None
    low: float = 1e-7
    high: float = 10.0
    most_bands: int = 5
    divisions: int = 4
    divide: Divide = "examples"
    share: float = 0.3
    seed: int = 0
    memory: Memory = "device"
    accumulate: int | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        checked = {
            "low": number(self.low, "low", FinderError, above=0.0),
            "high": number(self.high, "high", FinderError, above=0.0),
            "most_bands": whole(self.most_bands, "most_bands", FinderError, at_least=1),
            "divisions": whole(self.divisions, "divisions", FinderError, at_least=1),
            "divide": choice(self.divide, "divide", FinderError, get_args(Divide)),
            "share": number(self.share, "share", FinderError, above=0.0),
            "seed": whole(self.seed, "seed", FinderError),
            "memory": choice(self.memory, "memory", FinderError, get_args(Memory)),
        }
        keep_checked(self, checked, ("budget", "horizon", "accumulate"))
        if self.schedule is not None:
            check_course(self.schedule, self.horizon)
        if not self.share < 1:
            raise FinderError(
                f"share must be below 1, got {self.share!r}: the rest of the data is trained on."
            )
        if self.horizon is not None and self.horizon < SHORTEST:
            raise FinderError(
                f"horizon must be at least {SHORTEST} updates, which is the shortest probe, got "
                f"{self.horizon}. Leave it out, or train for longer."
            )
        check_range(self.low, self.high)

    @property
    def asks_optimizer(self) -> bool:
        """Whether the shape of the training is to be read from the optimizer."""
        return self.schedule is None

    @property
    def updates(self) -> int:
        """The budget in updates."""
        if self.budget is not None:
            return self.budget
        return BUDGET if self.horizon is None else max(BUDGET, self.horizon // 3)
