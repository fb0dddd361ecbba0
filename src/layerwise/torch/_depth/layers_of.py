"""layers_of: the levels of a model, from its input to its head."""

from collections.abc import Mapping, Sequence

from torch import nn

from layerwise._checks import choice
from layerwise._text import first_few
from layerwise.errors import MultiplierError
from layerwise.multipliers import (
    ModelLayers,
    blocks_joined,
    is_head,
    levels_from_names,
)
from layerwise.torch._depth.copies import without_copies
from layerwise.torch._depth.group_matcher import stated_levels
from layerwise.torch._depth.kinds import embeddings_in, norms_among, norms_in, parallel_in
from layerwise.torch._parameters import (
    SEPARATOR,
    Named,
    NamedTensor,
    named_tensors,
    plain,
)


def layers_of(model: Named, by: str = "layer") -> ModelLayers:
    """The levels of a model from its input to its head, as strategies count them.

    PyTorch knows a model's layers in the order in which they were registered, not in the order
    in which they are called; for nearly all models that is the same. Numbered blocks, attention
    layers and embeddings are one level each. A normalization belongs to the layer that it follows,
    heads in a ``ModuleList`` are one level, and a number such as ``logit_scale`` is the head's. A
    model of timm says itself how deep its layers are, by its ``group_matcher``.

    Copies of the model that don't train, such as a teacher or what an ``AveragedModel`` holds, have
    no level, and neither has what is frozen above the last layer that trains.

    Args:
        model: A module, wrapped or not, or its named parameters.
        by: ``"layer"``, or ``"block"`` to have the layers of one block, by their names
            (``block1_conv``, ``block1_project``), as one level.

    Returns:
        A tuple for each level, with the names of its parameters, without what wrappers put into
        them. As ``layers=`` for a part of the model's parameters it gives them the depth that they
        have in the whole.

    Raises:
        MultiplierError: The names don't show the depth: all are in one level, or a head comes
            first.
        OptimizerError: There are no usable parameters.

    Examples:
        >>> from torch import nn
        >>> from layerwise import layer_decay
        >>> from layerwise.torch import layers_of, param_groups
        >>> model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
        >>> layers_of(model)
        (('0.weight', '0.bias', '1.weight', '1.bias'), ('2.weight', '2.bias'))
        >>> matrices = [(name, p) for name, p in model.named_parameters() if p.ndim == 2]
        >>> groups = param_groups(matrices, layer_decay(0.5), lr=1.0, layers=layers_of(model))
        >>> [group["lr"] for group in groups]
        [0.5, 1.0]

    Source: the depth of a layer as in ULMFiT's discriminative fine-tuning (Howard and Ruder,
    2018).
    """
    return layers_in(named_tensors(model), model, by)


def layers_in(tensors: Sequence[NamedTensor], model: Named, by: str = "layer") -> ModelLayers:
    """See ``layers_of``.

    Args:
        tensors: The parameters.
        model: What they are from. Only a module is read, so a generator may be used up.
        by: ``"layer"`` or ``"block"``.
    """
    choice(by, "by", MultiplierError, ("layer", "block"))
    counted = without_copies([named for named in tensors if not named.averaged])
    parts: dict[str, list[NamedTensor]] = {}
    for named in counted:
        parts.setdefault(plain(named.short), []).append(named)
    levels = _levels(parts, model)
    _check(levels)
    if by == "block":
        levels = blocks_joined(levels, SEPARATOR)
    training = [
        place
        for place, level in enumerate(levels)
        if any(named.trains for name in level for named in parts[name])
    ]
    if training:  # what is frozen above the last layer that trains is no depth
        levels = levels[: training[-1] + 1]
    return ModelLayers(
        tuple(named.short for name in level for named in parts[name]) for level in levels
    )


def _levels(parts: Mapping[str, Sequence[NamedTensor]], model: Named) -> Sequence[Sequence[str]]:
    if not isinstance(model, nn.Module):
        tensors = [named for several in parts.values() for named in several]
        return levels_from_names(
            parts, SEPARATOR, norms=norms_among(tensors), scalars=_scalars(parts)
        )
    stated = stated_levels(model, list(parts))
    if len(stated) > 1:
        return stated
    return levels_from_names(
        parts,
        SEPARATOR,
        norms=norms_in(model),
        parallel=parallel_in(model),
        scalars=_scalars(parts),
        embeddings=embeddings_in(model),
    )


def _scalars(parts: Mapping[str, Sequence[NamedTensor]]) -> set[str]:
    return {
        name
        for name, several in parts.items()
        if all(named.tensor.numel() == 1 for named in several)
    }


def _check(levels: Sequence[Sequence[str]]) -> None:
    """Raise if the names don't show how deep the layers lie."""
    if len(levels) < 2:
        raise MultiplierError(
            f"The names {first_few(levels[0], 3)} are all in one layer, so that they don't tell "
            f"how deep each parameter lies. {_WAY_OUT}"
        )
    if _has_head(levels[0]) and not _has_head(levels[-1]):
        raise MultiplierError(
            f"The model's first layer is {levels[0][0]!r}, by its name a head, so that the order "
            f"of its layers doesn't tell how deep each lies. {_WAY_OUT}"
        )


_WAY_OUT = "Name the levels, from input to head: layers=[['embedding'], ['body'], ['head']]."


def _has_head(level: Sequence[str]) -> bool:
    return any(is_head(part) for name in level for part in name.split(SEPARATOR))
