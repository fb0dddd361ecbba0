"""Width scaling: multipliers from how the shapes have grown since a small model."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from layerwise._checks import choice
from layerwise._text import first_few
from layerwise.errors import MultiplierError, UnmatchedRuleError
from layerwise.multipliers._matching.unmatched import unmatched_error
from layerwise.multipliers._matching.winners import find_winners
from layerwise.multipliers._plan import Parameter
from layerwise.multipliers._strategies.axes import check_axes, growth, guess_axes
from layerwise.multipliers._strategies.base_shapes import (
    Shape,
    match_shapes,
    read_base,
    root_mean_square,
)
from layerwise.multipliers._strategies.by_parameter import (
    Decided,
    Decision,
    ModelFacts,
    ParameterStrategy,
)
from layerwise.multipliers._strategies.strategy import BuiltIn

_FAMILIES = ("adam", "sgd")
# Weights that are started as usual have a variance of 1/3 to 2 over what leads in.
_USUAL = 0.29


@dataclass(frozen=True, repr=False)
class width_scaling(BuiltIn, ParameterStrategy):
    r"""Rates that transfer with width: what is best for a small model is best for a wide one.

    Each weight's shape is compared with its shape in a small model. Let $n_\text{in}$ and
    $n_\text{out}$ be how many times as much leads into it and out of it. The multipliers are those
    of the maximal update parametrization:

    | weight | grows | Adam and its like | SGD |
    |---|---|---|---|
    | input weights, biases and other vectors | out | $1$ | $n_\text{out}$ |
    | hidden weights | in and out | $1 / n_\text{in}$ | $n_\text{out} / n_\text{in}$ |
    | output weights | in | $1 / n_\text{in}$ | $1 / n_\text{in}$ |

    Hidden weights are to be started with a variance of 1 over what leads in, as is usual, and
    output weights with a standard deviation that falls as $1 / n_\text{in}$. The plan says, and a
    warning does, where output weights are started larger, with the line that mends it.

    Use it as rules, or in a list of rules.

    Args:
        base: The small model, for which the learning rate is found: a model, its tree of
            parameters, or a mapping from their names to their shapes. Only shapes are kept, and
            the size of the weights that it starts with.
        optimizer: ``"adam"`` for all optimizers that divide by the gradient's size, ``"sgd"`` for
            SGD with or without momentum. By default it is read from the optimizer, which only
            ``LRMultiplier`` and ``with_multipliers`` can see.
        axes: Where names don't tell which axes of a weight lead in and which lead out: a letter for
            each axis, by the start of the name: ``{"text_projection": "io"}``. ``-`` is neither.

    Raises:
        MultiplierError: ``base`` has no shapes, or ``optimizer`` or ``axes`` is not as described;
            when used, the optimizer's family isn't known, or a weight's axes are not.
        UnmatchedRuleError: When used, a parameter is not in the small model.

    Examples:
        >>> from layerwise import width_scaling
        >>> from layerwise.multipliers import Parameter, resolve
        >>> small = {"in/kernel": (9, 64), "body/kernel": (64, 64), "out/kernel": (64, 3)}
        >>> wide = {"in/kernel": (9, 512), "body/kernel": (512, 512), "out/kernel": (512, 3)}
        >>> plan = resolve(
        ...     [Parameter(name, shape) for name, shape in wide.items()],
        ...     width_scaling(small, optimizer="adam"),
        ... )
        >>> for row in plan.rows:
        ...     print(row.value, row.rule)
        1.0 width_scaling (adam): input, out x8
        0.125 width_scaling (adam): hidden, in x8, out x8
        0.125 width_scaling (adam): output, in x8

    Source: Tensor Programs V (Yang et al., 2022), Table 3.
    """

    base: Any = field(hash=False)
    optimizer: str | None = None
    axes: Mapping[str, str] | None = field(default=None, hash=False)
    sizes: Mapping[str, float] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        base = read_base(self.base, "width_scaling: base")
        family = self.optimizer
        if family is not None:
            family = choice(family, "width_scaling: optimizer", MultiplierError, _FAMILIES)
        axes = check_axes(self.axes, "width_scaling: axes") or None
        self.keep(base=base.shapes, sizes=base.sizes, optimizer=family, axes=axes)

    def arguments(self) -> dict[str, Any]:
        """What the strategy was made with; the shapes as pairs, since JSON objects get sorted."""
        shapes = [[name, list(shape)] for name, shape in self.base.items()]
        axes = None if self.axes is None else dict(self.axes)
        return {"base": shapes, "optimizer": self.optimizer, "axes": axes}

    def decide(
        self,
        parameters: Sequence[Parameter],
        needed: Sequence[bool],
        model: ModelFacts,
        separator: str,
    ) -> Decided:
        """The multiplier of each parameter by how it has grown."""
        family = self.optimizer or model.family()
        if family is None:
            raise MultiplierError(
                "width_scaling can't see here which optimizer will use the rates. Say it: "
                'width_scaling(..., optimizer="adam") for Adam and all that divide by the '
                'gradient\'s size, width_scaling(..., optimizer="sgd") for SGD with or without '
                "momentum. Other rules for the width, as Muon needs, are not known here."
            )
        matches = match_shapes(parameters, self.base, separator)
        self._check_found(parameters, needed, matches)
        weights = [
            None if match is None or not parameter.shape else _Weight(parameter, *match)
            for parameter, match in zip(parameters, matches, strict=True)
        ]
        axes = self._axes(weights, parameters, needed, model, separator)
        each: list[Decision | None] = []
        notes: list[str] = []
        for weight, letters in zip(weights, axes, strict=True):
            if weight is None or letters is None:
                each.append(None)
                continue
            role = weight.role(letters)
            text = f"width_scaling ({family}): {weight.text(letters, role)}"
            each.append(Decision(weight.multiplier(letters, role, family), text))
            notes += self._notes(weight, letters, role, model, separator)
        return Decided(each, notes)

    def _check_found(
        self,
        parameters: Sequence[Parameter],
        needed: Sequence[bool],
        matches: Sequence[tuple[str, Shape] | None],
    ) -> None:
        """Raise if a parameter is not in the small model, or has another number of axes there."""
        pairs = list(zip(parameters, needed, matches, strict=True))
        lost = [p.name for p, need, match in pairs if need and match is None]
        if lost:
            raise UnmatchedRuleError(
                f"width_scaling: base has no {first_few(lost, 3)}; its names are "
                f"{first_few(list(self.base), 4)}. It must be the same model, only narrower. Make "
                "it by the same code, give these parameters rules by name beside the strategy, or "
                "allow it with strict=False."
            )
        for parameter, _, match in pairs:
            if match is not None and parameter.shape and len(match[1]) != len(parameter.shape):
                raise MultiplierError(
                    f"width_scaling: {parameter.name!r} has the shape {parameter.shape}, and "
                    f"{match[1]} in base, which must have as many axes."
                )

    def _axes(
        self,
        weights: Sequence["_Weight | None"],
        parameters: Sequence[Parameter],
        needed: Sequence[bool],
        model: ModelFacts,
        separator: str,
    ) -> list[str | None]:
        """The axes of each weight: as the caller says, as the model knows, or by its name."""
        wanted = self.axes or {}
        winners = find_winners(dict.fromkeys(wanted, 1.0), parameters, "prefix", separator)
        if winners.unmatched and any(needed):
            what = "name in axes="
            raise unmatched_error(winners.unmatched, parameters, "prefix", separator, what)
        known = model.axes() if any(weights) else {}
        biases = {
            w.path(separator)[:-1]: w.shape != w.base
            for w in weights
            if w is not None and w.path(separator)[-1] in ("bias", "b")
        }
        found: list[str | None] = []
        for weight, key, need in zip(weights, winners.keys, needed, strict=True):
            letters = None
            if weight is not None:
                path = weight.path(separator)
                letters = known.get(weight.name) or guess_axes(
                    path, weight.shape, weight.base, biases.get(path[:-1])
                )
                if key is not None:
                    letters = wanted[key]
                    weight.check(letters, key)
                elif letters is None and need:
                    weight.refuse()
            found.append(letters)
        return found

    def _notes(
        self, weight: "_Weight", letters: str, role: str, model: ModelFacts, separator: str
    ) -> Iterable[str]:
        """What a reader should know of a weight that leads to the output."""
        if role == "input" and weight.is_tied:
            big, small = growth(letters, "o", weight.shape, weight.base)
            yield (
                f"{weight.name} is an input weight and, as {weight.parameter.aliases[0]}, the "
                "output's. It is scaled as an input weight; multiply the output of the model by "
                f"{small / big:.4g}."
            )
        big, small = growth(letters, "i", weight.shape, weight.base)
        if role != "output" or big <= small:
            return
        size = root_mean_square(model.values().get(weight.name))
        if not size:
            return
        usual = (small / big) ** 0.5
        before = self.sizes.get(weight.base_name)
        if before is None:
            too_large, factor = size * size * big >= _USUAL, usual
            why = "looks started as usual, with a variance of about 1 over what leads in"
        else:
            right = before * small / big
            too_large = size > right * min(1.5, (big / small) ** 0.25)
            factor = usual if abs(size * usual / right - 1) < 0.2 else right / size
            why = f"starts {size / right:.3g} times as large as this parametrization needs"
        if too_large:
            yield (
                f"The output weight {weight.name} {why}. Before training, once: "
                f"{model.mend(weight.name, factor)}"
            )

    def __repr__(self) -> str:
        texts = [f"<{len(self.base)} shapes>"]
        if self.optimizer is not None:
            texts.append(f"optimizer={self.optimizer!r}")
        if self.axes is not None:
            texts.append(f"axes={self.axes!r}")
        return f"width_scaling({', '.join(texts)})"


class _Weight(NamedTuple):
    """A parameter and its shape in the small model."""

    parameter: Parameter
    base_name: str
    base: Shape

    @property
    def name(self) -> str:
        return self.parameter.name

    @property
    def shape(self) -> Shape:
        return self.parameter.shape

    @property
    def is_tied(self) -> bool:
        """Whether two layers share it; layers of a stack have other names, too, but no two."""
        return bool(self.parameter.aliases) and self.parameter.layer is None

    def path(self, separator: str) -> tuple[str, ...]:
        return tuple(self.name.split(separator))

    def role(self, axes: str) -> str:
        """What it is: ``hidden``, ``output``, ``input``, ``vector``, or ``fixed``."""
        leads_in, leads_out = (big != small for big, small in self._growths(axes))
        if leads_in:
            return "hidden" if leads_out else "output"
        if leads_out:
            return "input" if "i" in axes or "-" in axes else "vector"
        return "fixed"

    def multiplier(self, axes: str, role: str, family: str) -> float:
        """The multiplier of Table 3, relative to the small model."""
        (big_in, small_in), (big_out, small_out) = self._growths(axes)
        if family == "adam":
            return small_in / big_in if role in ("hidden", "output") else 1.0
        return (big_out * small_in) / (small_out * big_in)

    def text(self, axes: str, role: str) -> str:
        """What it is and how it grows, in words."""
        ways = zip(("in", "out"), self._growths(axes), strict=True)
        return ", ".join([role, *(f"{way} x{b / s:.4g}" for way, (b, s) in ways if b != s)])

    def check(self, axes: str, key: str) -> None:
        if len(axes) != len(self.shape):
            raise MultiplierError(
                f"width_scaling: axes has {axes!r} for {key!r}, which must be a letter for each "
                f"axis of {self.name!r}, whose shape is {self.shape}."
            )
        for letter, now, before in zip(axes, self.shape, self.base, strict=True):
            if letter == "-" and now != before:
                raise MultiplierError(
                    f"width_scaling: axes has {axes!r} for {key!r}, but an axis that leads neither "
                    f"in nor out must not grow: {self.base} became {self.shape}."
                )

    def refuse(self) -> None:
        letters = "io" + "-" * (len(self.shape) - 2)
        raise MultiplierError(
            f"width_scaling can't tell which axes of {self.name!r} lead in and which lead out: "
            f"{self.base} became {self.shape}. Say it with a letter for each axis, i, o or -: "
            f"width_scaling(..., axes={{{self.name!r}: {letters!r}}})."
        )

    def _growths(self, axes: str) -> tuple[tuple[int, int], tuple[int, int]]:
        return growth(axes, "i", self.shape, self.base), growth(axes, "o", self.shape, self.base)
