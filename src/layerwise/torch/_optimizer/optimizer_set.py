"""Several optimizers that train as one, such as Muon for hidden matrices and AdamW for the rest."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self, TypeAlias, TypeVar

from torch.optim import Optimizer

from layerwise._text import shown
from layerwise.errors import LayerwiseError, OptimizerError
from layerwise.multipliers import distinct
from layerwise.torch._groups.base_rate import names_of
from layerwise.torch._optimizer.inner_optimizer import hookable

T = TypeVar("T")

Optimizers: TypeAlias = Optimizer | Sequence[Optimizer] | Mapping[str, Optimizer]
"""One optimizer, or several that train as one: in order, or by names of your own."""


class OptimizerSet:
    """The optimizers of one training, in order.

    A group of one of several is called ``AdamW/default``: by its optimizer's name and its own. If
    it is its optimizer's only one, and was given no name, it is called ``AdamW``. The groups of one
    optimizer alone keep their names.

    Args:
        named: The optimizers by name; ``""`` for one alone.
    """

    def __init__(self, named: Mapping[str, Optimizer]) -> None:
        self._named = dict(named)

    @classmethod
    def of(cls, given: object, error: type[LayerwiseError] = OptimizerError) -> Self:
        """Sort out what a caller gave.

        Args:
            given: ``Optimizers``. Several in a sequence are called by their classes.
            error: The error to raise.

        Raises:
            LayerwiseError: It is no optimizer, is empty, has one twice, or a name is not text. The
                class is ``error``.
        """
        if isinstance(given, cls):
            return given
        if isinstance(given, Optimizer):
            return cls({"": given})
        if isinstance(given, Mapping):
            pairs = list(given.items())
        elif isinstance(given, Iterable) and not isinstance(given, str | bytes):
            each = list(given)
            names = distinct(
                type(hookable(one) if isinstance(one, Optimizer) else one).__name__ for one in each
            )
            pairs = list(zip(names if len(each) > 1 else [""] * len(each), each, strict=True))
        else:
            raise error(f"{type(given).__name__} is not a torch.optim.Optimizer.")
        if not pairs:
            kind = type(given).__name__
            raise error(f"An empty {kind} is not a torch.optim.Optimizer. Give one, or several.")
        for name, one in pairs:
            if not isinstance(one, Optimizer):
                where = f" {name!r}" if isinstance(given, Mapping) else ""
                raise error(f"The optimizer{where} is a {type(one).__name__}, which is none.")
            if not isinstance(name, str) or (isinstance(given, Mapping) and not name):
                raise error(f"The name of an optimizer must be text, got {shown(name)}.")
        if len({id(hookable(one)) for _, one in pairs}) < len(pairs):
            raise error("One optimizer is given twice. Give each of them once.")
        return cls(dict(pairs))

    def __len__(self) -> int:
        return len(self._named)

    @property
    def optimizers(self) -> list[Optimizer]:
        """The optimizers, in order."""
        return list(self._named.values())

    @property
    def first(self) -> Optimizer:
        """The first optimizer."""
        return next(iter(self._named.values()))

    def is_same(self, other: "OptimizerSet") -> bool:
        """Whether both have the same groups, maybe by other names."""
        mine, others = ({id(group) for group in each.groups()} for each in (self, other))
        return mine == others

    def groups(self) -> list[dict[str, Any]]:
        """The groups of all optimizers, in order."""
        return [group for each in self._named.values() for group in each.param_groups]

    def names(self) -> list[str]:
        """The name of each group."""
        return [name for part in self.parts() for name in part.names()]

    def owners(self) -> list[str]:
        """The name of each group's optimizer."""
        return [name for name, each in self._named.items() for _ in each.param_groups]

    def parts(self) -> "list[OptimizerPart]":
        """Each optimizer as a part of them all."""
        return [OptimizerPart(self, name, each) for name, each in self._named.items()]

    def check_disjoint(self, error: type[LayerwiseError] = OptimizerError) -> None:
        """Raise if two optimizers train one parameter, so that it has two rates.

        Raises:
            LayerwiseError: They do. The class is ``error``.
        """
        known: dict[int, str] = {}
        for name, group in zip(self.names(), self.groups(), strict=True):
            for tensor in group["params"]:
                other = known.setdefault(id(tensor), name)
                if other != name:
                    raise error(
                        f"One parameter is in two groups, {other!r} and {name!r}, so that it has "
                        "two rates. Give each optimizer the parameters that it alone trains, for "
                        "example by param_groups(..., only=...)."
                    )


class OptimizerPart:
    """One optimizer as a part of several.

    Args:
        whole: All of them.
        name: Its name among them.
        optimizer: The optimizer.
    """

    def __init__(self, whole: OptimizerSet, name: str, optimizer: Optimizer) -> None:
        self.whole, self.name, self.optimizer = whole, name, optimizer

    def names(self) -> list[str]:
        """The name of each of its groups among all."""
        groups = names_of(self.optimizer)
        if not self.name:
            return groups
        if len(groups) == 1 and "name" not in self.optimizer.param_groups[0]:
            return [self.name]
        return [f"{self.name}/{group}" for group in groups]

    def cut(self, values: Sequence[T]) -> list[T]:
        """What belongs to its groups, of values for the groups of all."""
        start = 0
        for each in self.whole.optimizers:
            if each is self.optimizer:
                break
            start += len(each.param_groups)
        return list(values[start : start + len(self.optimizer.param_groups)])
