"""Which axes of a weight lead in and which lead out, by the conventions of the frameworks.

A weight's last name says its layout: ``weight`` is PyTorch's and Equinox', with the output first;
``kernel`` and ``w`` are those of Keras, Flax and Haiku, with the output last.
"""

import re
from collections.abc import Mapping, Sequence
from math import prod

from layerwise._text import shown
from layerwise.errors import MultiplierError
from layerwise.multipliers._names import is_embedding
from layerwise.multipliers._strategies.base_shapes import Shape

_OUTPUT_FIRST = re.compile(r"(.*_)?weight(_.*)?|lora_embedding_[AB]")
_OUTPUT_LAST = re.compile(r"(.*_)?kernel|w")
_TABLE = re.compile(r"(.*_)?(embeddings?|table)")
_VECTOR = re.compile(r"(.*_)?(bias|scale|gain|gamma|beta|offset)(_.*)?|b")
_DEPTHWISE = re.compile(r"depth_?wise|(^|_)dw(_?conv)?(?![a-z])", re.IGNORECASE)
_FROM_MODEL = {"query", "key", "value", "q", "k", "v", "q_proj", "k_proj", "v_proj"}
_TO_MODEL = {"attention_output", "out", "output", "o", "out_proj", "o_proj", "proj"}


def check_axes(axes: object, what: str) -> dict[str, str]:
    """Axes by name as a caller wrote them, checked.

    Raises:
        MultiplierError: This is no mapping from names to texts of ``i``, ``o`` and ``-``.
    """
    if axes is None:
        return {}
    if not isinstance(axes, Mapping):
        raise MultiplierError(
            f"{what} must be a mapping from names to a letter for each axis, such as "
            f"{{'head.proj': 'io'}}, got {shown(axes)}."
        )
    for name, letters in axes.items():
        if not isinstance(name, str) or not name:
            raise MultiplierError(f"{what} must have names of parameters, got {shown(name)}.")
        if not isinstance(letters, str) or not letters or set(letters) - set("io-"):
            raise MultiplierError(
                f"{what}: {name!r} must have a letter for each axis, 'i' if it leads in, 'o' if it "
                f"leads out, '-' if it does neither, got {shown(letters)}."
            )
    return dict(axes)


def guess_axes(path: Sequence[str], shape: Shape, base: Shape, bias: bool | None) -> str | None:
    """The axes of a weight by its name and by how it grows; None if they can't be guessed.

    Args:
        path: The parts of its name.
        shape: Its shape.
        base: Its shape in the small model.
        bias: Whether the bias beside it grows, or None if there is no bias.
    """
    rank = len(shape)
    last, layer = path[-1], path[-2] if len(path) > 1 else ""
    if last.startswith("original") and layer:  # torch.nn.utils.parametrize
        last, layer = layer, path[-4] if len(path) > 3 else ""
    growing = [axis for axis in range(rank) if shape[axis] != base[axis]]
    if not growing:
        return "-" * rank
    if rank < 2 or _VECTOR.fullmatch(last):
        return "o" * rank
    if _is_table(last, layer, growing == [rank - 1]):
        return "-" * (rank - 1) + "o"
    if _OUTPUT_FIRST.fullmatch(last):
        return "o" + "i" * (rank - 1)
    if last == "depthwise_kernel":
        return "-" * (rank - 2) + "oo"
    if _OUTPUT_LAST.fullmatch(last):
        if rank > 2 and "transpose" in layer.lower() and last == "kernel":
            return "-" * (rank - 2) + "oi"
        return _kernel(layer, shape, base, growing, bias)
    return _unnamed(shape, base, growing, bias)


def growth(axes: str, letter: str, shape: Shape, base: Shape) -> tuple[int, int]:
    """By how much the axes with a letter have grown, as the sizes now and in the small model."""
    chosen = [axis for axis, each in enumerate(axes) if each == letter]
    return prod(shape[axis] for axis in chosen), prod(base[axis] for axis in chosen)


def _is_table(last: str, layer: str, vectors_grow: bool) -> bool:
    """Whether a weight is a table of vectors, one of which is looked up or added."""
    if _TABLE.fullmatch(last) or is_embedding(last):
        return True
    # A dense layer or a convolution may be called an embedding, too; its output comes first.
    return last == "weight" and is_embedding(layer) and vectors_grow


def _one_channel(layer: str, shape: Shape, bias: bool | None) -> str | None:
    """The axes of a kernel whose axis before the last grows alone.

    It leads out in a depthwise convolution, where each channel has a filter of its own, and in what
    leads into attention, if there are more heads: a bias beside it grows, too. Else it leads in.
    """
    rank = len(shape)
    if bias is True or _DEPTHWISE.search(layer):
        return "-" * (rank - 2) + "oo"
    if bias is None and shape[-1] == 1:
        return None
    return "i" * (rank - 1) + "o"


def _kernel(
    layer: str, shape: Shape, base: Shape, growing: Sequence[int], bias: bool | None
) -> str | None:
    """The axes of a kernel with its output last, or of one of attention with its heads."""
    rank = len(shape)
    if rank == 3 and layer.lower() in _FROM_MODEL:
        return "ioo"
    if rank == 3 and layer.lower() in _TO_MODEL:
        return "iio"
    if rank > 2 and growing == [rank - 2]:
        return _one_channel(layer, shape, bias)
    if rank != 3 or 0 not in growing:  # the first axis of three is a convolution's window
        return "i" * (rank - 1) + "o"
    if growing != [0, 1, 2]:
        return "ioo"  # and where it is "iio", the growth of what leads in and out is the same
    first, second, third = (big / small for big, small in zip(shape, base, strict=True))
    if first == second * third:
        return "ioo"
    return "iio" if first * second == third else None


def _unnamed(shape: Shape, base: Shape, growing: Sequence[int], bias: bool | None) -> str | None:
    """The axes of a weight whose name says nothing."""
    rank = len(shape)
    if sum(n > 1 for n in shape) < 2:
        return "o" * rank  # a vector with other axes of one: a class token, a scale
    if len(growing) == 1 and bias is not None:
        return _at(dict.fromkeys(growing, "o" if bias else "i"), rank)
    if len(growing) == 2:
        one, other = growing
        if shape[one] * base[other] == shape[other] * base[one]:  # either may lead in
            return _at({one: "i", other: "o"}, rank)
    return None


def _at(letters: Mapping[int, str], rank: int) -> str:
    return "".join(letters.get(axis, "-") for axis in range(rank))
