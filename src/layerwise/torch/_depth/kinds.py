"""What the modules of a model show of its layers, beyond their names."""

from collections.abc import Iterator, Sequence

from torch import nn

from layerwise.multipliers import is_head, is_norm
from layerwise.torch._parameters import SEPARATOR, NamedTensor, plain, unwrapped

_NORMS = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.SyncBatchNorm,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
    nn.PReLU,
)
# Layers that say how many inputs and outputs they have.
_SIZES = (("in_features", "out_features"), ("in_channels", "out_channels"))


def norms_in(model: nn.Module) -> set[str]:
    """The layers that only scale and shift: normalizations, and activations with slopes."""
    return {unwrapped(name) for name, part in model.named_modules() if _is_norm(part)}


def embeddings_in(model: nn.Module) -> set[str]:
    """The layers that look up vectors by number."""
    kinds = (nn.Embedding, nn.EmbeddingBag)
    return {unwrapped(name) for name, part in model.named_modules() if isinstance(part, kinds)}


def norms_among(tensors: Sequence[NamedTensor]) -> set[str]:
    """The same where there are only names and tensors: what has a vector for its weight."""
    layers: dict[str, dict[str, NamedTensor]] = {}
    for named in tensors:
        layer, _, own = plain(named.short).rpartition(SEPARATOR)
        layers.setdefault(layer, {})[own] = named
    return {
        layer
        for layer, own in layers.items()
        if all(named.tensor.ndim <= 1 for named in own.values())
        if ("weight" in own and own.keys() <= {"weight", "bias"})
        or all(is_norm(tuple(named.short.split(SEPARATOR))) for named in own.values())
    }


def parallel_in(model: nn.Module) -> set[str]:
    """The lists and dictionaries of modules whose members lie side by side.

    They are called heads, or the members of a list can't be called one after the other: all take
    inputs of the same size and give outputs of another.
    """
    return {
        unwrapped(name)
        for name, part in model.named_modules()
        if isinstance(part, nn.ModuleList | nn.ModuleDict) and len(part) > 1
        if _are_heads(name.rpartition(SEPARATOR)[2])
        or (isinstance(part, nn.ModuleList) and _no_chain(part))
    }


def _is_norm(part: nn.Module) -> bool:
    if isinstance(part, _NORMS):
        return True
    own = list(part.parameters(recurse=False))
    return "norm" in type(part).__name__.lower() and bool(own) and all(p.ndim <= 1 for p in own)


def _are_heads(name: str) -> bool:
    return is_head(name) or is_head(name.removesuffix("s"))


def _no_chain(members: nn.ModuleList) -> bool:
    if not all(map(_in_order, members.children())):
        return False
    sizes = [list(_sizes(member)) for member in members.children()]
    if not all(sizes):
        return False
    taken = {inside[0][0] for inside in sizes}
    given = [inside[-1][1] for inside in sizes[:-1]]
    return len(taken) == 1 and not taken.issuperset(given)


def _in_order(member: nn.Module) -> bool:
    """Whether what was registered first takes the inputs, and what was last gives the outputs.

    A block of one's own may have its gate or its convolution anywhere.
    """
    if isinstance(member, nn.Sequential):
        return all(map(_in_order, member.children()))
    return all(name == "parametrizations" for name, _ in member.named_children())


def _sizes(member: nn.Module) -> Iterator[tuple[object, object]]:
    for part in member.modules():
        for taken, given in _SIZES:
            if hasattr(part, taken) and hasattr(part, given):
                yield getattr(part, taken), getattr(part, given)
