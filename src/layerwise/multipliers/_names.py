"""Names as paths, and the few parts of them that show where in a model a layer stands."""

import re
from collections.abc import Iterable, Iterator
from itertools import takewhile

_EMBEDDING = re.compile(r"(^|_)embed(ding)?s?(_\d+)?$|^embed_|_token$|^w[tp]e$")
# The heads of an attention layer are no output of the model.
_HEAD = re.compile(r"^(?!.*multi_?head)(.*_)?heads?$|^(classifier|logits)$")
_NUMBERED = re.compile(r"(.*?)_?(\d+)")
_NORM = re.compile(
    r"(^|_)(bn|ln|gn|rms|(batch|layer|group|instance|rms)?_?norm(ali[sz]ation)?)(_|\d|$)",
    re.IGNORECASE,
)
_OF_NORMS = {"weight", "bias", "gamma", "beta", "scale", "offset"}
_SCALAR = re.compile(r"(^|_)(logit_(scale|bias)|temperature|log_(sigma|var|std|temp)s?)$")


def layers_of(name: str, separator: str) -> Iterator[str]:
    """The layers that a parameter lies in, the outermost first: ``a`` and ``a/b`` of ``a/b/c``."""
    end = name.find(separator, 1)  # a separator in front ends no layer
    while end > 0:
        yield name[:end]
        end = name.find(separator, end + 1)


def wrapper_of(name: str, short: str | None) -> str:
    """What stands before the short name in a name: the name of a model around the model."""
    return name.removesuffix(short) if short and name.endswith(short) else ""


def common_start(paths: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """The parts that all paths begin with.

    Examples:
        >>> from layerwise.multipliers import common_start
        >>> common_start([("encoder", "block_0", "kernel"), ("encoder", "block_1", "kernel")])
        ('encoder',)
    """
    known = set(paths)
    # In sorted order, what the first and the last share is shared by all paths between them.
    ends = zip(min(known, default=()), max(known, default=()), strict=False)
    return tuple(part for part, _ in takewhile(lambda pair: pair[0] == pair[1], ends))


def distinct(labels: Iterable[str]) -> list[str]:
    """The labels, made different: a label that was used before gets a number.

    Examples:
        >>> from layerwise.multipliers import distinct
        >>> distinct(["body", "body", "head"])
        ['body', 'body (2)', 'head']
    """
    taken: dict[str, None] = {}
    for label in labels:
        name, count = label, 2
        while name in taken:
            name, count = f"{label} ({count})", count + 1
        taken[name] = None
    return list(taken)


def is_embedding(part: str) -> bool:
    """Whether one part of a name says that the layer is an embedding, at the model's input.

    Examples:
        >>> from layerwise.multipliers import is_embedding
        >>> [is_embedding(part) for part in ("token_embedding", "wte", "cls_token", "dense")]
        [True, True, True, False]
    """
    return bool(_EMBEDDING.search(part))


def is_head(part: str) -> bool:
    """Whether one part of a name says that the layer is a head, at the model's output.

    Examples:
        >>> from layerwise.multipliers import is_head
        >>> [is_head(part) for part in ("lm_head", "classifier", "multi_head", "dense")]
        [True, True, False, False]
    """
    return bool(_HEAD.search(part))


def is_norm(path: tuple[str, ...]) -> bool:
    """Whether the name of a parameter, as a path, says that it is a normalization layer's.

    Examples:
        >>> from layerwise.multipliers import is_norm
        >>> is_norm(("bn1", "weight")), is_norm(("layer_norm", "gamma")), is_norm(("fc", "weight"))
        (True, True, False)
    """
    return len(path) > 1 and path[-1] in _OF_NORMS and bool(_NORM.search(path[-2]))


def is_scalar(part: str) -> bool:
    """Whether the name of a parameter says that it scales a model's outputs or losses."""
    return bool(_SCALAR.search(part))


def numbered(part: str) -> tuple[str, int] | None:
    """One part of a name that ends in a number, as its stem and the number, else None.

    Examples:
        >>> from layerwise.multipliers import numbered
        >>> numbered("Dense_10"), numbered("layer3"), numbered("7"), numbered("head")
        (('Dense', 10), ('layer', 3), ('', 7), None)
    """
    match = _NUMBERED.fullmatch(part)
    return (match[1], int(match[2])) if match else None
