"""What an outer ``optax.masked`` or ``optax.partition`` hides, as far as rules need to know it.

For a label or mask of a whole subtree Optax leaves one ``MaskedNode``, and nothing says which
leaves are under it. Rules and levels that name some of them are then no mistake, and a depth that
would depend on them is not known.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from jax.tree_util import GetAttrKey, SequenceKey

from layerwise.errors import MultiplierError
from layerwise.multipliers import AnyStrategy, Layers, Parameter, Rules, RuleSpec
from layerwise.optax._layer_order import levels_in_order
from layerwise.optax._parameters import ROOT, Key, Leaf, Leaves, name_of

_LEAVES = {
    *("kernel", "bias", "scale", "weight", "w", "b", "embedding", "gamma", "beta", "gain"),
    *("offset", "cls", "cls_token", "pos_embed", "pos_embedding", "lora_a", "lora_b", "alpha"),
}
"""What nobody calls a layer."""


@dataclass(frozen=True)
class Hidden:
    """The hidden leaves of a tree, each perhaps a whole subtree.

    Args:
        leaves: All leaves of the tree.
    """

    leaves: tuple[Leaf, ...]

    @property
    def subtrees(self) -> tuple[Leaf, ...]:
        """Those that may stand for more than one leaf."""
        shown = {name for leaf in self.leaves if not leaf.hidden and (name := _last(leaf))}
        return tuple(
            leaf for leaf in self.leaves if leaf.hidden and _last(leaf) not in _LEAVES | shown
        )

    def parameters(self, leaf: Leaf, spec: RuleSpec) -> tuple[Parameter, ...]:
        """A hidden leaf as rules know it: with what levels and rules name under it."""
        named = _under(leaf.name, _level_names(spec))
        if not named:
            return leaf.parameters()
        return tuple(replace(leaf.parameters()[0], name=name, short=None) for name in named)

    def absent(self, spec: RuleSpec) -> list[Parameter]:
        """What rules name under hidden leaves: parameters that are elsewhere."""
        given = (spec.rules, spec.decay_rules)
        keys = [key for rules in given for each in mappings(rules) for key in each]
        found = [name for leaf in self.subtrees for name in _under(leaf.name, keys)]
        return [Parameter(name, trainable=False) for name in found]

    def loosened(self, spec: RuleSpec) -> RuleSpec:
        """The rules, of which none counts as dead if it may match what is hidden.

        A pattern, or a part of a name, can't be compared with names that nobody knows.
        """
        vague = spec.match != "prefix" and self.subtrees
        return replace(spec, strict=False) if vague else spec

    def check_depth(self, found: Leaves, attributes_sorted: bool) -> None:
        """Raise if the depth of the leaves that are there depends on what is hidden.

        Raises:
            MultiplierError: It does.
        """
        subtrees = self.subtrees
        if not subtrees:
            return
        try:
            opened = _depths(_opened(found, subtrees), attributes_sorted)
            same = _depths(found, attributes_sorted) == opened
        except MultiplierError:  # without what is hidden, an order can't even be proposed
            same = False
        if not same:
            names = ", ".join(repr(leaf.name) for leaf in subtrees[:4])
            raise MultiplierError(
                f"An optax.partition or optax.masked around these multipliers hides {names}, by a "
                "label or mask for all that is in it, and so nobody can tell how many layers lie "
                "there. Say all levels: layers=layers_of(params), with the whole params; or give "
                "each leaf its label: jax.tree.map(lambda _: ..., params)."
            )


def mappings(rules: Rules | None) -> Iterable[Mapping[str, object]]:
    """The mappings among rules."""
    if isinstance(rules, Mapping):
        yield rules
    elif rules is not None and not isinstance(rules, AnyStrategy):
        for part in rules:
            yield from mappings(part)


def _last(leaf: Leaf) -> str | None:
    """The last part of a leaf's name, unless it is a number, which any layer may have."""
    last = name_of(leaf.path[-1:])
    return None if last.isdecimal() else last


def _under(name: str, keys: Iterable[str]) -> list[str]:
    """The keys for what is under a name, with what may be left out in front put back."""
    short = name.removeprefix(f"{ROOT}/")
    front = name.removesuffix(short)
    found: dict[str, None] = {}
    for key in keys:
        if key.startswith(f"{name}/"):
            found[key] = None
        elif front and key.startswith(f"{short}/"):
            found[front + key] = None
    return list(found)


def _level_names(spec: RuleSpec) -> list[str]:
    ways: list[Layers | None] = [spec.layers, *(each.layers for each in spec.strategies)]
    names: dict[str, None] = {}
    for layers in ways:
        for level in layers or ():
            names |= dict.fromkeys([level] if isinstance(level, str) else level)
    return list(names)


def _opened(found: Leaves, subtrees: Sequence[Leaf]) -> Leaves:
    """The leaves, with two layers in place of each subtree."""
    inside: list[tuple[Key, ...]] = [(SequenceKey(i), GetAttrKey("kernel")) for i in range(2)]
    leaves: list[Leaf] = []
    for leaf in found.leaves:
        if leaf in subtrees:
            leaves += [replace(leaf, path=(*leaf.path, *keys)) for keys in inside]
        else:
            leaves.append(leaf)
    return Leaves(tuple(leaves), found.absent)


def _depths(found: Leaves, attributes_sorted: bool) -> dict[str, tuple[int, int]]:
    """The place of each shown leaf's level, counted from both ends."""
    levels = levels_in_order(found, attributes_sorted)
    place = {name: i for i, level in enumerate(levels) for name in level}
    shown = [name for leaf in found.leaves if not leaf.hidden for name in map(name_of, leaf.paths)]
    return {name: (place[name], len(levels) - place[name]) for name in shown}
