"""The small networks of the panel: dense and convolutional ones of five layers, a transformer."""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional


def dense(classes: int = 10, pixels: int = 196, width: int = 128) -> nn.Sequential:
    """Five dense layers."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(flat=nn.Flatten())
    inputs = pixels
    for number in "1234":
        layers[f"dense{number}"] = nn.Linear(inputs, width)
        layers[f"relu{number}"] = nn.ReLU()
        inputs = width
    layers["head"] = nn.Linear(width, classes)
    return nn.Sequential(layers)


def convolutional(classes: int = 10, channels: tuple[int, int, int] = (8, 16, 32)) -> nn.Sequential:
    """Three strided convolutions, a dense layer and a head, for images of 14 x 14."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    inputs = 1
    for number, outputs in enumerate(channels, 1):
        layers[f"conv{number}"] = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)
        layers[f"relu{number}"] = nn.ReLU()
        inputs = outputs
    layers |= {"flat": nn.Flatten(), "dense": nn.Linear(4 * inputs, 48), "relu": nn.ReLU()}
    layers["head"] = nn.Linear(48, classes)
    return nn.Sequential(layers)


class Transformer(nn.Module):
    """A decoder that predicts each next character; the norms stand before the blocks.

    Args:
        symbols: How many characters there are.
        length: How many a text has.
        width: Numbers for each character.
        blocks: How many blocks.
    """

    def __init__(
        self, symbols: int = 64, length: int = 16, width: int = 32, blocks: int = 2
    ) -> None:
        super().__init__()
        self.symbols = nn.Embedding(symbols, width)
        self.places = nn.Parameter(torch.randn(length, width) * 0.1)
        nn.init.normal_(self.symbols.weight, std=0.1)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, symbols)

    def forward(self, codes: Tensor) -> Tensor:
        """The logits of the next characters."""
        x = self.symbols(codes) + self.places
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(self.norm(x))
        return logits


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attend = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.wide = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        count, length, width = x.shape
        parts = self.attend(self.norm1(x)).view(count, length, 3, 2, width // 2)
        queries, keys, values = parts.permute(2, 0, 3, 1, 4)
        scores = queries @ keys.transpose(-1, -2) / (width // 2) ** 0.5
        later = torch.ones(length, length, dtype=torch.bool).triu(1)
        mixed = scores.masked_fill(later, -torch.inf).softmax(-1) @ values
        x = x + self.mix(mixed.transpose(1, 2).reshape(x.shape))
        narrowed: Tensor = self.narrow(functional.gelu(self.wide(self.norm2(x))))
        return x + narrowed
