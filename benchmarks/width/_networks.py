"""A plain network and a small transformer, of any width, that predict the next character.

They start as ``width_scaling`` needs, at every width: hidden weights with a variance of 1 over what
leads in, outputs and biases at 0. (PyTorch's usual biases get smaller as a network widens.) Batches
are large: Adam turns a gradient that is mere noise into steps of full size, which seem to disturb
narrow networks more than wide ones. With 64 predictions in a batch instead of 256, the plain
network's best rate rises by 1.9 times from width 64 to 1,024.
"""

import torch
from torch import Tensor, nn

from layerwise import width_scaling
from layerwise.torch import param_groups

SYMBOLS = 64
LENGTH = 16
BASE = 64
MOST_SEEDS = 8
HEAD = 16  # numbers in a head: a wider transformer has more heads


class Plain(nn.Module):
    """Three hidden layers on the characters before, each as 8 numbers."""

    batch = 256
    held_out = 1024
    seeds = 2048

    def __init__(self, width: int) -> None:
        super().__init__()
        self.characters = nn.Embedding(SYMBOLS, 8)
        self.enter = nn.Linear(8 * LENGTH, width)
        self.hidden = nn.Linear(width, width)
        self.deeper = nn.Linear(width, width)
        self.head = nn.Linear(width, SYMBOLS)
        for layer in (self.enter, self.hidden, self.deeper):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def loss(self, codes: Tensor) -> Tensor:
        """The mean loss of predicting the last character of each window."""
        found = self.characters(codes[:, :LENGTH]).flatten(1)
        for layer in (self.enter, self.hidden, self.deeper):
            found = torch.relu(layer(found))
        return nn.functional.cross_entropy(self.head(found), codes[:, LENGTH])


class Transformer(nn.Module):
    """One block of attention and a dense layer, normalised before each."""

    batch = 16  # as many predictions as those of the plain network
    held_out = 256
    seeds = 512

    def __init__(self, width: int) -> None:
        super().__init__()
        self.characters = nn.Embedding(SYMBOLS, width)
        self.places = nn.Parameter(torch.randn(LENGTH, width))
        self.block = nn.TransformerEncoderLayer(
            width, width // HEAD, 4 * width, 0.0, batch_first=True, norm_first=True
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, SYMBOLS)

    def loss(self, codes: Tensor) -> Tensor:
        """The mean loss of predicting each character from those before it."""
        found = self.characters(codes[:, :LENGTH]) + self.places
        mask = nn.Transformer.generate_square_subsequent_mask(LENGTH)
        found = self.head(self.norm(self.block(found, src_mask=mask, is_causal=True)))
        return nn.functional.cross_entropy(found.flatten(0, 1), codes[:, 1:].flatten())


NETWORKS: dict[str, type[Plain] | type[Transformer]] = {"plain": Plain, "transformer": Transformer}


def seeds_of(network: str, width: int) -> range:
    """The starts whose losses are averaged: narrow networks differ more from one another."""
    return range(min(MOST_SEEDS, max(1, NETWORKS[network].seeds // width)))


def made(network: str, width: int, seed: int) -> Plain | Transformer:
    """A network whose output and biases start at 0, which is right for all widths."""
    torch.manual_seed(seed)
    model = NETWORKS[network](width)
    nn.init.zeros_(model.head.weight)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
    return model


def optimizer_of(
    model: Plain | Transformer, network: str, family: str, scaled: bool
) -> torch.optim.Optimizer:
    """Adam or SGD with momentum at a base rate of 1, for a scheduler to multiply."""
    shapes = {name: p.shape for name, p in NETWORKS[network](BASE).named_parameters()}
    rules = width_scaling(shapes, optimizer=family, axes=AXES[network]) if scaled else None
    groups = param_groups(model, rules, lr=1.0)
    if family == "adam":
        return torch.optim.Adam(groups)
    return torch.optim.SGD(groups, momentum=0.9)


AXES = {"plain": None, "transformer": {"places": "-o"}}
