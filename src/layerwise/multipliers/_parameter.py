"""One trainable array of a model, as far as rules need to know it."""

from dataclasses import dataclass

from layerwise.multipliers._values import Value


@dataclass(frozen=True)
class Parameter:
    """A parameter's name and what is known about it; no array, no framework.

    Args:
        name: The name that the framework prints: ``backbone/conv/kernel``.
        shape: Its shape.
        short: The name without what a wrapper put in front (a Keras model's own name, Torch's
            ``module.``), or None. Only a key that matches no full name is tried against it.
        aliases: The other names of one shared parameter.
        annotation: The multiplier that its layer carries, or None.
        weight_decay: Its weight decay, for the plan, or None.
        trainable: Whether it is updated at all. A parameter that is not has a row in the plan,
            too, and a rule that matches nothing else is not called unmatched.

    Examples:
        >>> from layerwise.multipliers import Parameter
        >>> Parameter("head/kernel", (32, 10)).name
        'head/kernel'
    """

    name: str
    shape: tuple[int, ...] = ()
    short: str | None = None
    aliases: tuple[str, ...] = ()
    annotation: Value | None = None
    weight_decay: float | None = None
    trainable: bool = True

    def paths(self) -> tuple[tuple[str, str | None], ...]:
        """Each of its names, with what is left of it without the wrapper, if that is less."""
        wrapper = ""
        if self.short and self.name.endswith(self.short):
            wrapper = self.name.removesuffix(self.short)
        bare = [
            alias.removeprefix(wrapper) if wrapper and alias.startswith(wrapper) else None
            for alias in self.aliases
        ]
        short = None if self.short == self.name else self.short
        return ((self.name, short), *zip(self.aliases, bare, strict=True))
