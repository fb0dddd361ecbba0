"""A PyTorch model's parameters as the parameters that rules are resolved against."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from layerwise.errors import MultiplierError, OptimizerError
from layerwise.multipliers import Parameter, is_head, levels_from_names

SEPARATOR = "."

Named: TypeAlias = nn.Module | Iterable[tuple[str, Tensor]] | Mapping[str, Tensor]
"""A module, what its ``named_parameters()`` gives, or a mapping of names to parameters."""

# What DistributedDataParallel, torch.compile and FSDP put into a name, at its start or inside.
_WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module"}


@dataclass(frozen=True, eq=False)
class NamedTensor:
    """A parameter with all the names that it has in a model."""

    tensor: Tensor
    names: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its first name, in the model's order."""
        return self.names[0]

    @property
    def short(self) -> str:
        """The first name without what wrappers put into it."""
        return unwrapped(self.name)

    def parameter(self, weight_decay: float | None = None) -> Parameter:
        """The parameter as rules see it."""
        # A rule may use either spelling of a shared parameter's other names.
        aliases = [alias for name in self.names[1:] for alias in (name, unwrapped(name))]
        return Parameter(
            self.name,
            tuple(self.tensor.shape),
            short=self.short if self.short != self.name else None,
            aliases=tuple(dict.fromkeys(aliases)),
            weight_decay=weight_decay,
            trainable=self.tensor.requires_grad,
        )


def unwrapped(name: str) -> str:
    """A name without the parts that wrappers put into it."""
    parts = name.split(SEPARATOR)
    return SEPARATOR.join(part for part in parts if part not in _WRAPPERS) or name


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
    return [NamedTensor(tensors[key], tuple(all_names)) for key, all_names in names.items()]


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


def layers_of(model: Named) -> tuple[tuple[str, ...], ...]:
    """The levels of a model from its input to its head, as strategies count them.

    PyTorch knows a model's layers in the order in which they were registered, not in the order
    in which they are called; for nearly all models that is the same. Numbered blocks, attention
    layers and embeddings are one level each.

    Args:
        model: A module, wrapped or not, or its named parameters.

    Returns:
        A tuple for each level, with the names of its parameters, without what wrappers put into
        them.

    Raises:
        MultiplierError: The names don't tell the depth: all are in one level, or a head comes
            first.
        OptimizerError: There are no usable parameters.

    Examples:
        >>> from torch import nn
        >>> from layerwise.torch import layers_of
        >>> layers_of(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1)))
        (('0.weight', '0.bias'), ('2.weight', '2.bias'))

    Source: the depth of a layer as in ULMFiT's discriminative fine-tuning (Howard and Ruder,
    2018).
    """
    return layers_in(named_tensors(model))


def layers_in(tensors: Iterable[NamedTensor]) -> tuple[tuple[str, ...], ...]:
    """See ``layers_of``."""
    levels = levels_from_names((named.short for named in tensors), SEPARATOR)
    if len(levels) < 2:
        raise MultiplierError(
            f"The names {_shown(levels[0])} are all in one layer, so that they don't tell how deep "
            f"each parameter lies. {_WAY_OUT}"
        )
    if _has_head(levels[0]) and not _has_head(levels[-1]):
        raise MultiplierError(
            f"The model's first layer is {levels[0][0]!r}, by its name a head, so that the order "
            f"of its layers doesn't tell how deep each lies. {_WAY_OUT}"
        )
    return levels


_WAY_OUT = "Name the levels, from input to head: layers=[['embedding'], ['body'], ['head']]."


def _has_head(level: tuple[str, ...]) -> bool:
    return any(is_head(part) for name in level for part in name.split(SEPARATOR))


def _shown(names: tuple[str, ...]) -> str:
    return ", ".join(map(repr, names[:3])) + (", …" if len(names) > 3 else "")
