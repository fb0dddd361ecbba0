"""The coordinate check: whether layers learn alike in models of all widths."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from layerwise import _show
from layerwise._checks import whole
from layerwise._text import first_few, shown
from layerwise.errors import MultiplierError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Sizes: TypeAlias = tuple[tuple[tuple[float, ...], ...], ...]
"""By layer, width and step.

Examples:
    >>> from layerwise.multipliers import Sizes
    >>> two_layers_of_one_width_at_two_steps: Sizes = (((1.0, 1.1),), ((0.0, 0.2),))
"""

_TOLERANCE = 0.25


class WidthTrial(Protocol):
    """One model in training, as an adapter shows it to the check.

    Examples:
        >>> import numpy as np
        >>> from layerwise.multipliers import WidthTrial
        >>> class Still:
        ...     def activations(self):
        ...         return {"dense": np.ones((2, 8))}
        ...
        ...     def step(self):
        ...         pass
        >>> trial: WidthTrial = Still()
    """

    def activations(self) -> Mapping[str, npt.NDArray[Any]]:
        """What the layers give for the batch, by name."""

    def step(self) -> None:
        """Train on the batch once."""


@dataclass(frozen=True)
class WidthCheck:
    """How large the activations of models of several widths are, and how much they change.

    If rates transfer, a few updates change every layer's activations by as much in a wide model as
    in a narrow one.

    Attributes:
        widths: The widths, rising.
        layers: The layers that activations were taken of.
        sizes: Their root mean square, by layer, width and step; step 0 is before training.
        changes: The root mean square of their difference from step 0.
        growing: The layers that have more activations in a wider model: all but outputs, as a rule.

    Examples:
        >>> from layerwise.multipliers import WidthCheck
        >>> check = WidthCheck(
        ...     (64, 256), ("dense",), (((1.0, 1.1), (1.0, 1.4)),), (((0.0, 0.1), (0.0, 0.4)),)
        ... )
        >>> check.passes, round(check.change_growth["dense"], 2)
        (False, 1.0)
        >>> print(check.verdict)
        The rates don't transfer from width 64 to 256: changes grow with the width in dense (as
        width^1). Give these layers lower rates as the width grows.
    """

    widths: tuple[int, ...]
    layers: tuple[str, ...]
    sizes: Sizes
    changes: Sizes
    growing: tuple[str, ...] = ()

    @property
    def size_growth(self) -> dict[str, float]:
        """The power of the width by which each layer's activations grow before training."""
        return {n: self._power(s, 0) for n, s in zip(self.layers, self.sizes, strict=True)}

    @property
    def change_growth(self) -> dict[str, float]:
        """The power of the width by which each layer's changes grow, after the last step."""
        return {n: self._power(c, -1) for n, c in zip(self.layers, self.changes, strict=True)}

    @property
    def passes(self) -> bool:
        """Whether no layer's activations or changes grow or vanish with the width."""
        return not self._findings()

    @property
    def verdict(self) -> str:
        """What was found, in words."""
        between = f"from width {self.widths[0]} to {self.widths[-1]}"
        found = self._findings()
        if not found:
            powers = [power for power in self.change_growth.values() if np.isfinite(power)]
            most = max(map(abs, powers), default=0.0)
            return (
                f"The rates transfer {between}: after {self._steps} updates no layer's change "
                f"depends on the width by more than width^{most:.2g}."
            )
        return f"The rates don't transfer {between}: {' '.join(found)}"

    def to_dict(self) -> dict[str, Any]:
        """The check as plain data: lists, numbers and texts.

        Examples:
            >>> from layerwise.multipliers import WidthCheck
            >>> WidthCheck((8, 16), ("a",), (((1.0,), (1.0,)),), (((0.0,), (0.0,)),)).to_dict()
            ... # doctest: +ELLIPSIS
            {'widths': [8, 16], 'layers': ['a'], 'sizes': [[[1.0], [1.0]]], ...}
        """
        return {
            "widths": list(self.widths),
            "layers": list(self.layers),
            "sizes": np.array(self.sizes).tolist(),
            "changes": np.array(self.changes).tolist(),
            "growing": list(self.growing),
            "passes": self.passes,
            "verdict": self.verdict,
        }

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw each layer's change after the last step over the width, with Matplotlib.

        Args:
            ax: Axes to draw on; by default a new figure's.

        Returns:
            The axes.

        Examples:
            >>> from layerwise.multipliers import WidthCheck
            >>> sizes = (((1.0, 1.1), (1.0, 1.1)),)
            >>> WidthCheck((8, 16), ("a",), sizes, sizes).plot().get_xlabel()
            'width'
        """
        return _show.width_check_lines(self, ax)

    @property
    def _steps(self) -> int:
        return len(self.changes[0][0]) - 1

    def _power(self, by_width: Sequence[Sequence[float]], step: int) -> float:
        """The slope of a line through the logarithms; NaN for what never moves."""
        values = np.array([of_width[step] for of_width in by_width])
        if not values.any():
            return float("nan")
        with np.errstate(divide="ignore", invalid="ignore"):
            heights = np.log(values)
        if not np.isfinite(heights).all():
            return float("-inf") if np.isfinite(values).all() else float("inf")
        return float(np.polyfit(np.log(self.widths), heights, 1)[0])

    def _findings(self) -> list[str]:
        grown = _named(self.size_growth, lambda power: power > _TOLERANCE)
        # An output may start smaller in a wide model; what is inside may not.
        inside = {name: p for name, p in self.size_growth.items() if name in self.growing}
        shrunk = _named(inside, lambda power: power < -_TOLERANCE)
        fast = _named(self.change_growth, lambda power: power > _TOLERANCE)
        slow = _named(self.change_growth, lambda power: power < -_TOLERANCE)
        found = []
        if grown:
            found.append(
                f"before training, activations grow with the width in {grown}. Start these layers "
                "smaller."
            )
        if shrunk:
            found.append(
                f"before training, activations vanish with the width in {shrunk}. Start these "
                "layers, or those before them, with a variance of 1 over what leads in."
            )
        if fast:
            found.append(
                f"changes grow with the width in {fast}. Give these layers lower rates as the "
                "width grows."
            )
        if slow and not shrunk:  # changes of layers that start too small vanish, too
            found.append(
                f"changes vanish with the width in {slow}. Give these layers, or those before "
                "them, higher rates as the width grows."
            )
        return found


def measure_widths(
    make_trial: Callable[[int, int], WidthTrial],
    widths: Iterable[int],
    *,
    steps: int = 5,
    repeats: int = 3,
) -> WidthCheck:
    """Train models of several widths for a few updates, and compare their activations.

    Args:
        make_trial: Gets a width and a seed, and returns a model in training on one batch.
        widths: At least two widths.
        steps: Updates.
        repeats: Models of each width, of different seeds, whose sizes are averaged.

    Returns:
        The sizes and changes of what all models have in common.

    Raises:
        MultiplierError: A width, ``steps`` or ``repeats`` can't be used, or the models have no
            layer in common.

    Examples:
        >>> import numpy as np
        >>> from layerwise.multipliers import measure_widths
        >>> class Grows:
        ...     def __init__(self, width, seed):
        ...         self.width, self.now = width, np.ones(width)
        ...
        ...     def activations(self):
        ...         return {"dense": self.now.copy()}
        ...
        ...     def step(self):
        ...         self.now += self.width / 100
        >>> round(measure_widths(Grows, [8, 16]).change_growth["dense"], 6)
        1.0
    """
    wanted = check_widths(widths)
    steps = whole(steps, "steps", MultiplierError, at_least=1)
    repeats = whole(repeats, "repeats", MultiplierError, at_least=1)
    found: list[list[_Course]] = [
        [_course(make_trial(width, seed), steps) for seed in range(repeats)] for width in wanted
    ]
    names = [n for n in found[0][0] if all(n in course for courses in found for course in courses)]
    if not names:
        other = first_few(list(found[-1][0]), 4)
        raise MultiplierError(
            f"The models of width {wanted[0]} and {wanted[-1]} have no layer in common: "
            f"{first_few(list(found[0][0]), 4)} and {other}. Give layers the same names at all "
            "widths."
        )
    means = [
        [np.mean([course[name].rows for course in courses], axis=0) for courses in found]
        for name in names
    ]
    growing = tuple(n for n in names if found[-1][0][n].size > found[0][0][n].size)
    return WidthCheck(tuple(wanted), tuple(names), _plain(means, 0), _plain(means, 1), growing)


class _LayerCourse(NamedTuple):
    """How many activations a layer has, and their sizes and changes: ``(2, steps + 1)``."""

    size: int
    rows: npt.NDArray[np.float64]


_Course: TypeAlias = dict[str, _LayerCourse]


def _course(trial: WidthTrial, steps: int) -> _Course:
    """What one model's layers do in a few updates."""
    first = {name: np.asarray(value, np.float64) for name, value in trial.activations().items()}
    rows = {name: [(_size(value), 0.0)] for name, value in first.items()}
    for _ in range(steps):
        trial.step()
        for name, value in trial.activations().items():
            rows[name].append((_size(value), _size(np.asarray(value, np.float64) - first[name])))
    return {n: _LayerCourse(first[n].size, np.array(pairs).T) for n, pairs in rows.items()}


def _size(values: npt.NDArray[np.float64]) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.sqrt(np.mean(np.square(values))))


def _plain(means: Sequence[Sequence[npt.NDArray[np.float64]]], which: int) -> Sizes:
    return tuple(tuple(tuple(each[which].tolist()) for each in widths) for widths in means)


def check_widths(widths: object) -> list[int]:
    """The widths of a check, rising and each once.

    Raises:
        MultiplierError: They are no whole numbers of at least 1, or fewer than two.

    Examples:
        >>> from layerwise.multipliers import check_widths
        >>> check_widths([256, 64])
        [64, 256]
    """
    wanted = sorted({whole(w, "widths", MultiplierError, at_least=1) for w in _listed(widths)})
    if len(wanted) < 2:
        raise MultiplierError(f"widths must be at least two different ones, got {shown(wanted)}.")
    return wanted


def _listed(widths: object) -> list[Any]:
    if isinstance(widths, str) or not isinstance(widths, Iterable):
        raise MultiplierError(f"widths must be a list of widths, got {shown(widths)}.")
    return list(widths)


def _named(powers: Mapping[str, float], chosen: Callable[[float], bool]) -> str:
    found = [f"{name} (as width^{power:.2g})" for name, power in powers.items() if chosen(power)]
    return first_few(found, 4).replace("'", "") if found else ""
