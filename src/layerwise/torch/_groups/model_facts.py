"""What strategies by parameter learn from a PyTorch model: the axes and the values of its weights.

``width_scaling`` needs them. A module's class says what names alone may not: a table to look up, a
transposed convolution.
"""

from collections.abc import Sequence

from torch import nn

from layerwise.multipliers import ModelFacts
from layerwise.torch._parameters import Named, NamedTensor, plain

_TABLES = (nn.Embedding, nn.EmbeddingBag)
_DENSE = (nn.Linear, nn.Bilinear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def facts_of(tensors: Sequence[NamedTensor], model: Named) -> ModelFacts:
    """What strategies by parameter may ask of a model; the optimizer is not made yet."""
    return ModelFacts(
        axes=lambda: axes_of(tensors, model) if isinstance(model, nn.Module) else {},
        values=lambda: {named.name: named.tensor for named in tensors},
        mend=_mend,
    )


def axes_of(tensors: Sequence[NamedTensor], model: nn.Module) -> dict[str, str]:
    """The axes of the weights of known modules, by the parameter's first name.

    A weight that is both a table and a dense layer's is a table: that is where it comes in.
    """
    modules = dict(model.named_modules(remove_duplicate=False))
    found: dict[str, str] = {}
    for named in tensors:
        letters = [
            axes
            for name in named.names
            for layer, _, last in [plain(name).rpartition(".")]
            if last == "weight" and (axes := _axes(modules.get(layer), named.tensor.ndim))
        ]
        if letters:
            found[named.name] = min(letters)  # "-" comes before the letters
    return found


def _axes(module: nn.Module | None, rank: int) -> str | None:
    if rank < 2:
        return None
    if isinstance(module, _TABLES):
        return "-o"
    if isinstance(module, _TRANSPOSED):
        return "io" + "-" * (rank - 2)
    # The layer of GPT-2 in Transformers is a linear one with its weight the other way round.
    if type(module).__name__ == "Conv1D" and hasattr(module, "nf"):
        return "io"
    if isinstance(module, _DENSE):
        return "o" + "i" * (rank - 1)
    return None


def _mend(name: str, factor: float) -> str:
    return f'with torch.no_grad(): model.get_parameter("{name}").mul_({factor:.4g})'
