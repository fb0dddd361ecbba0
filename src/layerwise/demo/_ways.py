"""The ways to learn a new task from few labels that the demo compares."""

from dataclasses import dataclass

from layerwise.multipliers import Rules, layer_decay


@dataclass(frozen=True)
class Way:
    """One way to fine-tune.

    Attributes:
        name: Its name in the table.
        rules: Which weights learn how fast; None if they are found, too.
        pretrained: Whether it starts from the pretrained backbone.
    """

    name: str
    rules: Rules | None
    pretrained: bool = True

    @property
    def folder(self) -> str:
        """The name of the folder of its run."""
        return self.name.replace(" ", "-")


SINGLE = Way("single rate", {})
FROZEN = Way("frozen backbone", {"backbone": 0})
LAYERWISE = Way("layer-wise rates", layer_decay(0.3))
FOUND = Way("rates found", None)
SCRATCH = Way("from scratch", {}, pretrained=False)

WAYS = (SINGLE, FROZEN, LAYERWISE, FOUND, SCRATCH)
