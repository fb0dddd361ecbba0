"""A PyTorch model's parameters as the parameters that rules are resolved against."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from layerwise.errors import MultiplierError, OptimizerError
from layerwise.multipliers import Parameter, levels_from_names

SEPARATOR = "."

Named: TypeAlias = nn.Module | Iterable[tuple[str, Tensor]] | Mapping[str, Tensor]
"""A module, what its ``named_parameters()`` gives, or a mapping of names to parameters."""

# What DistributedDataParallel, torch.compile and FSDP put into a name, at its start or inside.
_WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module"}
_HEADS = {"classifier", "head", "heads", "lm_head", "logits"}


@dataclass(frozen=True, eq=False)
class NamedTensor:
    """One parameter, once, with every name that it has."""

    tensor: Tensor
    names: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name that the model's order puts first."""
        return self.names[0]

    @property
    def short(self) -> str:
        """The first name without what wrappers put into it."""
        return unwrapped(self.name)

    def parameter(self, weight_decay: float | None = None) -> Parameter:
        """What rules need to know of it."""
        # A shared parameter's other names are known by both of their spellings.
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
    for name, tensor in _pairs(model):
        _check(name, tensor)
        if known.setdefault(name, id(tensor)) != id(tensor):
            raise OptimizerError(f"Two parameters have the name {name!r}; rules need one for each.")
        tensors[id(tensor)] = tensor
        own = names.setdefault(id(tensor), [])
        if name not in own:
            own.append(name)
    if not tensors:
        what = type(model).__name__
        raise OptimizerError(
            f"{what} has no parameters to make groups of. A generator such as named_parameters() "
            "is empty when it has been used once; a lazy module has none before its first batch."
        )
    return [NamedTensor(tensors[key], tuple(own)) for key, own in names.items()]


def _pairs(model: Any) -> Iterable[tuple[str, Tensor]]:
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
                "These parameters have no names, so that no rule can match them: hand in the "
                "model, or model.named_parameters() instead of model.parameters()."
            )
        if not (isinstance(pair, tuple | list) and len(pair) == 2):
            raise OptimizerError(
                f"Named parameters are pairs of a name and a tensor, not {pair!r}."
            )
        pairs.append((pair[0], pair[1]))
    return pairs


def _check(name: object, tensor: object) -> None:
    if not isinstance(name, str) or not isinstance(tensor, Tensor):
        raise OptimizerError(
            f"Named parameters are pairs of a name and a tensor, not {name!r} and "
            f"{type(tensor).__name__}."
        )
    if is_lazy(tensor):
        raise OptimizerError(
            f"The parameter {name!r} is lazy and has no shape yet: run one batch through the model "
            "first."
        )
    if name.endswith("_flat_param"):
        raise OptimizerError(
            f"The parameter {name!r} is many layers flattened into one, so that none of them can "
            "have a rate of its own: use fully_shard(model) (FSDP2), which keeps every parameter, "
            "or FullyShardedDataParallel(model, use_orig_params=True)."
        )


def layers_of(model: Named) -> tuple[tuple[str, ...], ...]:
    """The levels of a model from its input to its head, as strategies count them.

    PyTorch knows a model's layers in the order in which they were registered, not in the order
    in which they are called; for nearly all models that is the same. Numbered blocks, attention
    layers and embeddings are each one level.

    Args:
        model: A module, wrapped or not, or its named parameters.

    Returns:
        A level each: the names of its parameters, without what wrappers put into them.

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
    levels = levels_from_names((named.short for named in named_tensors(model)), SEPARATOR)
    if len(levels) < 2:
        raise MultiplierError(
            f"The names {_shown(levels[0])} are all in one layer, so that they don't tell how deep "
            "each parameter lies; name the levels, from input to head: "
            "layers=[['embedding'], ['body'], ['head']]."
        )
    first, last = _parts(levels[0]), _parts(levels[-1])
    if first & _HEADS and not last & _HEADS:
        raise MultiplierError(
            f"The model's first layer is {levels[0][0]!r}, by its name a head, so that the order "
            "of its layers doesn't tell how deep each lies; name the levels, from input to head: "
            "layers=[['embedding'], ['body'], ['head']]."
        )
    return levels


def _parts(level: tuple[str, ...]) -> set[str]:
    return {part for name in level for part in name.split(SEPARATOR)}


def _shown(names: tuple[str, ...]) -> str:
    return ", ".join(map(repr, names[:3])) + (", …" if len(names) > 3 else "")
