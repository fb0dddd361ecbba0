"""Which of a model's parameters an optimizer trains, where several train one model."""

from collections.abc import Callable, Collection, Sequence
from typing import TypeAlias

from torch import Tensor, nn

from layerwise._text import first_few
from layerwise.errors import MultiplierError
from layerwise.torch._depth.layers_of import layers_of
from layerwise.torch._parameters import NamedTensor, named_tensors

Only: TypeAlias = Collection[str] | Callable[[str, Tensor], bool]
"""The names of parameters, or a function of a parameter's name and tensor."""


def hidden_matrices(model: nn.Module) -> list[str]:
    """The names of a model's hidden matrices, which ``torch.optim.Muon`` is for.

    Those are the trained parameters of two dimensions that are in no embedding and, of
    ``layers_of(model)``, neither in the head nor, where there is no embedding, in the first level.

    Args:
        model: The model.

    Returns:
        Names for ``param_groups(model, ..., only=...)``, in the model's order.

    Examples:
        >>> import torch
        >>> from layerwise.torch import hidden_matrices, param_groups
        >>> model = torch.nn.Sequential(
        ...     torch.nn.Embedding(9, 4), torch.nn.Linear(4, 4), torch.nn.Linear(4, 2)
        ... )
        >>> hidden = hidden_matrices(model)
        >>> hidden
        ['1.weight']
        >>> muon = torch.optim.Muon(param_groups(model, lr=0.02, only=hidden))
        >>> rest = param_groups(model, lr=3e-4, only=lambda name, _: name not in hidden)
        >>> adamw = torch.optim.AdamW(rest)

    Source: K. Jordan, "Muon: An optimizer for hidden layers in neural networks" (2024), which
    leaves embeddings, heads, gains and biases to AdamW.
    """
    tables = (nn.Embedding, nn.EmbeddingBag)
    embedded = {id(each.weight) for each in model.modules() if isinstance(each, tables)}
    tensors, levels = named_tensors(model), layers_of(model)
    # A head that shares its weight with an embedding is no level of its own.
    tied = any(id(named.tensor) in embedded and len(named.names) > 1 for named in tensors)
    outer = {*(() if embedded else levels[0]), *(() if tied else levels[-1])}
    return [
        named.short
        for named in tensors
        if named.tensor.ndim == 2
        and named.trains
        and named.short not in outer
        and id(named.tensor) not in embedded
    ]


def chosen(tensors: Sequence[NamedTensor], only: Only) -> list[int]:
    """The places of the parameters that an optimizer is to train.

    Raises:
        MultiplierError: ``only`` is neither names nor a function, a name is no parameter's, or
            nothing is left.
    """
    if callable(only):
        places = [i for i, each in enumerate(tensors) if only(each.short, each.tensor)]
    elif isinstance(only, str) or not isinstance(only, Collection):
        raise MultiplierError(
            f"only={only!r} must be the names of parameters, such as hidden_matrices(model), or a "
            "function of a name and a parameter."
        )
    else:
        known = {name for each in tensors for name in (each.short, *each.names)}
        if unknown := [name for name in only if name not in known]:
            shorts = [each.short for each in tensors]
            raise MultiplierError(
                f"only= has the name {unknown[0]!r}, which no parameter has. They are "
                f"{first_few(shorts)}."
            )
        wanted = set(only)
        places = [i for i, each in enumerate(tensors) if wanted & {each.short, *each.names}]
    if not places:
        raise MultiplierError(
            f"only= chooses none of the {len(tensors)} parameters. Leave it out for all of them."
        )
    return places
