"""LoRA+: the two factors of a low-rank adapter, each at its own rate."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from layerwise._checks import number
from layerwise._numbers import exact_text
from layerwise._text import first_few
from layerwise.errors import MultiplierError, UnmatchedRuleError
from layerwise.multipliers._plan import Parameter
from layerwise.multipliers._strategies.by_parameter import (
    Decided,
    Decision,
    ModelFacts,
    ParameterStrategy,
)
from layerwise.multipliers._strategies.strategy import BuiltIn

# lora_A and lora_embedding_B in PEFT, lora_kernel_a in Keras, lora_b in Flax, lora_up in Kohya's.
_FACTOR = re.compile(r"(?:^|_)lora(?:_[a-z]+)*?_(a|b|down|up)$", re.IGNORECASE)
_IS_B = {"a": False, "b": True, "down": False, "up": True}


@dataclass(frozen=True, repr=False)
class lora_plus(BuiltIn, ParameterStrategy):
    r"""LoRA+: the factor B of a low-rank adapter learns faster than the factor A.

    LoRA adds $B A$ to a weight, where $B$ starts at 0. The multiplier of $B$ is

    $$m = \text{ratio}$$

    and that of $A$ and all else is 1, so that the base rate is that of $A$. The factors are known
    by their names: ``lora_A``, ``lora_B``, ``lora_embedding_A`` and ``lora_embedding_B`` in PEFT,
    ``lora_kernel_a``, ``lora_embeddings_b`` and their like in Keras after ``enable_lora()``,
    ``lora_a`` and ``lora_b`` in Flax, ``lora_down`` and ``lora_up`` elsewhere.

    Use it as rules, or in a list of rules.

    Args:
        ratio: How many times as fast as A the factor B learns, above 0.

    Raises:
        MultiplierError: ``ratio`` is no finite number above 0.
        UnmatchedRuleError: When used, the model has no such weights to train.

    Examples:
        >>> from layerwise import lora_plus
        >>> from layerwise.multipliers import Parameter, resolve
        >>> names = ["query.lora_A.default.weight", "query.lora_B.default.weight", "head.bias"]
        >>> resolve(map(Parameter, names), lora_plus(16), separator=".").multipliers(0).tolist()
        [1.0, 16.0, 1.0]

    Source: LoRA+ (Hayou, Ghosh and Yu, 2024).
    """

    ratio: float = 16.0

    def __post_init__(self) -> None:
        self.keep(ratio=number(self.ratio, "lora_plus: ratio", MultiplierError, above=0))

    def decide(
        self,
        parameters: Sequence[Parameter],
        needed: Sequence[bool],
        model: ModelFacts,
        separator: str,
    ) -> Decided:
        """``ratio`` for each factor B, and 1 for each factor A."""
        factors = [_is_b(parameter, separator) for parameter in parameters]
        trained = [b for b, p in zip(factors, parameters, strict=True) if p.trainable]
        if any(needed) and True not in trained:
            names = first_few([p.name for p in parameters if p.trainable], 4)
            raise UnmatchedRuleError(
                "lora_plus finds no factor B of LoRA among the parameters that train: no name has "
                f"a part such as lora_B, lora_kernel_b or lora_up. The names are {names}. Add LoRA "
                "to the model first (peft.get_peft_model, layer.enable_lora(rank) in Keras, "
                "nnx.LoRA in Flax), or allow it with strict=False."
            )
        decisions = {
            True: Decision(self.ratio, f"{self!r}: B"),
            False: Decision(1.0, f"{self!r}: A"),
            None: None,
        }
        return Decided([decisions[factor] for factor in factors])

    def __repr__(self) -> str:
        return f"lora_plus({exact_text(self.ratio)})"


def _is_b(parameter: Parameter, separator: str) -> bool | None:
    """Whether a parameter is a factor B; None if it is no factor of LoRA at all."""
    for part in reversed(parameter.name.split(separator)):
        match = _FACTOR.search(part)
        if match:
            return _IS_B[match[1].lower()]
    return None
