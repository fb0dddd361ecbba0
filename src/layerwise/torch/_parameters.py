"""A PyTorch model's parameters as the parameters that rules are resolved against."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim.swa_utils import AveragedModel

from layerwise.errors import OptimizerError
from layerwise.multipliers import Parameter

SEPARATOR = "."

Named: TypeAlias = nn.Module | Iterable[tuple[str, Tensor]] | Mapping[str, Tensor]
"""A module, what its ``named_parameters()`` gives, or a mapping of names to parameters."""

WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module"}
"""What DistributedDataParallel, torch.compile and FSDP put into a name, at its start or inside."""

# Where torch.nn.utils.parametrize keeps what a weight is computed from.
_PARAMETRIZED = "parametrizations"


@dataclass(frozen=True, eq=False)
class NamedTensor:
    """A parameter with all the names that it has in a model.

    Attributes:
        tensor: The parameter.
        names: Its names, in the model's order.
        averaged: Whether it is an ``AveragedModel``'s, which writes it itself.
        clashes: Whether another parameter has its name once wrappers are left out, as where a
            module of the user's is called ``module``.
    """

    tensor: Tensor
    names: tuple[str, ...]
    averaged: bool = False
    clashes: bool = False

    @property
    def name(self) -> str:
        """Its first name, in the model's order."""
        return self.names[0]

    @property
    def short(self) -> str:
        """The first name without what wrappers put into it, unless it then is another's."""
        return self.name if self.clashes else unwrapped(self.name)

    @property
    def trains(self) -> bool:
        """Whether an optimizer is to update it."""
        return self.tensor.requires_grad and not self.averaged

    def parameter(self, weight_decay: float | None = None) -> Parameter:
        """The parameter as rules see it."""
        # A rule may use either spelling of a shared parameter's other names.
        spellings = [(n, n if self.clashes else unwrapped(n)) for n in self.names[1:]]
        aliases = [alias for both in spellings for alias in both]
        return Parameter(
            self.name,
            tuple(self.tensor.shape),
            short=self.short if self.short != self.name else None,
            aliases=tuple(dict.fromkeys(aliases)),
            weight_decay=weight_decay,
            trainable=self.trains,
        )


def unwrapped(name: str) -> str:
    """A name without the parts that wrappers put into it."""
    parts = name.split(SEPARATOR)
    return SEPARATOR.join(part for part in parts if part not in WRAPPERS) or name


def plain(name: str) -> str:
    """The name of the weight that a parametrized layer computes from this parameter, and others.

    Both ``fc.parametrizations.weight.original0`` and ``….original1`` are ``fc.weight``.
    """
    layer, parametrized, rest = name.rpartition(f"{_PARAMETRIZED}{SEPARATOR}")
    return layer + rest.partition(SEPARATOR)[0] if parametrized else name


def named_tensors(model: Named) -> list[NamedTensor]:
    """Every parameter of a model once, in the model's order.

    Args:
        model: A module, wrapped or not, or the named parameters of one.

    Raises:
        OptimizerError: There are none, they have no names or no shapes yet, two of them share a
            name, or FSDP has flattened them into one, so that no layer can be told from another.
    """
    names: dict[int, list[str]] = {}
    tensors: dict[int, Tensor] = {}
    known: dict[str, int] = {}
    for pair in _pairs(model):
        name, tensor = _checked(*pair)
        if known.setdefault(name, id(tensor)) != id(tensor):
            raise OptimizerError(f"Two parameters have the name {name!r}; rules need one for each.")
        tensors[id(tensor)] = tensor
        names_of_it = names.setdefault(id(tensor), [])
        if name not in names_of_it:
            names_of_it.append(name)
    if not tensors:
        raise OptimizerError(
            f"{type(model).__name__} has no parameters to make groups of. A generator such as "
            "named_parameters() is empty once it has been used, and a lazy module has none before "
            "its first batch."
        )
    averages = _averages(model) if isinstance(model, nn.Module) else ()
    shorts = Counter(unwrapped(all_names[0]) for all_names in names.values())
    return [
        NamedTensor(
            tensors[key],
            tuple(all_names),
            bool(averages) and all(name.startswith(averages) for name in all_names),
            shorts[unwrapped(all_names[0])] > 1,
        )
        for key, all_names in names.items()
    ]


def _averages(model: nn.Module) -> tuple[str, ...]:
    """What the names of parameters of averages of a model start with."""
    if isinstance(model, AveragedModel):
        raise OptimizerError(
            "An AveragedModel is the average of another model and writes its parameters itself, "
            "so that there is nothing to train. Pass the model that it averages."
        )
    found = (name for name, part in model.named_modules() if isinstance(part, AveragedModel))
    return tuple(name + SEPARATOR for name in found)


def _pairs(model: object) -> Iterable[tuple[object, object]]:
    if isinstance(model, nn.Module):
        return model.named_parameters(remove_duplicate=False)
    if isinstance(model, Mapping):
        return model.items()
    if isinstance(model, Tensor | str) or not isinstance(model, Iterable):
        raise OptimizerError(
            f"Rules need a model or its named parameters, not {type(model).__name__}."
        )
    pairs = []
    for pair in model:
        if isinstance(pair, Tensor):
            raise OptimizerError(
                "These parameters have no names, so that no rule can match them. Pass the model, "
                "or model.named_parameters() instead of model.parameters()."
            )
        if not (isinstance(pair, tuple | list) and len(pair) == 2):
            raise OptimizerError(
                f"Named parameters must be pairs of a name and a tensor, not {pair!r}."
            )
        pairs.append((pair[0], pair[1]))
    return pairs


def _checked(name: object, tensor: object) -> tuple[str, Tensor]:
    if not isinstance(name, str) or not isinstance(tensor, Tensor):
        raise OptimizerError(
            f"Named parameters must be pairs of a name and a tensor, not {name!r} and "
            f"{type(tensor).__name__}."
        )
    if is_lazy(tensor):
        raise OptimizerError(
            f"The parameter {name!r} is lazy and has no shape yet. Run one batch through the model "
            "first."
        )
    if name.endswith("_flat_param"):
        raise OptimizerError(
            f"The parameter {name!r} is many layers flattened into one, so that they can't have "
            "different rates. Use fully_shard(model) (FSDP2), which keeps every parameter, "
            "or FullyShardedDataParallel(model, use_orig_params=True)."
        )
    return name, tensor
