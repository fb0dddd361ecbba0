"""What a search must leave as it was, and small things to search with."""

import hashlib
import pickle
import random
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from tests._support.torch.networks import make_batch

QUIET: dict[str, Any] = {"steps": 12, "method": "sweep", "progress": False}

OPTIMIZERS: dict[str, Any] = {
    "SGD": lambda params: torch.optim.SGD(params, lr=0.1),
    "momentum": lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9, nesterov=True),
    "AdamW": lambda params: torch.optim.AdamW(params, lr=1e-3, amsgrad=True),
    "fused": lambda params: torch.optim.Adam(params, lr=1e-3, fused=True),
    "tensor rate": lambda params: torch.optim.AdamW(params, lr=torch.tensor(1e-3)),
    "Adagrad": lambda params: torch.optim.Adagrad(params, lr=0.1),
    "NAdam": lambda params: torch.optim.NAdam(params, lr=1e-3),
}


class Noisy(nn.Module):
    """A network with a norm that remembers, dropout, a frozen layer, and a count of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout())
        self.frozen = nn.Linear(8, 8)
        self.frozen.requires_grad_(False)
        self.head = nn.Linear(8, 3)
        self.calls = 0
        self.register_buffer("sum", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.sum = self.sum + 1  # another tensor each time
        out: Tensor = self.head(self.frozen(self.backbone(x)))
        return out


def make_noisy(seed: int = 0) -> Noisy:
    torch.manual_seed(seed)
    return Noisy()


def make_loader(**options: Any) -> DataLoader[Any]:
    data = TensorDataset(*make_batch(0, samples=64))
    return DataLoader(data, batch_size=8, shuffle=True, **options)


def loss_function(outputs: Any, targets: Any) -> Any:
    return nn.functional.cross_entropy(outputs, targets)


def seed_all(seed: int = 1) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def make_searched(name: str = "AdamW", steps: int = 0) -> tuple[Any, Any]:
    """A noisy network and its optimizer, after some steps of training."""
    model = make_noisy()
    optimizer = OPTIMIZERS[name](model.parameters())
    if steps:
        train(model, optimizer, list(make_loader())[:steps])
    return model, optimizer


class TheVery:
    """Some objects, equal only to the very same ones.

    It keeps them alive: the id of an object that is gone may soon be that of another.
    """

    def __init__(self, objects: Iterable[Any]) -> None:
        self.objects = list(objects)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TheVery) or len(self.objects) != len(other.objects):
            return False
        return all(one is two for one, two in zip(self.objects, other.objects, strict=True))

    __hash__ = None  # type: ignore[assignment]


def fingerprint(model: Any, optimizer: Any, *others: Any) -> dict[str, Any]:
    """Everything that training changes, by what it is: hashes, and objects by identity."""
    module = model
    modules = list(module.modules())
    parameters = list(module.parameters())
    state = [optimizer.state.get(p) for g in optimizer.param_groups for p in g["params"]]
    groups = [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups]
    known = {
        "weights": dict(module.state_dict()),
        "identity": TheVery([*parameters, *module.buffers()]),
        "groups' parameters": TheVery(p for g in optimizer.param_groups for p in g["params"]),
        "groups' sizes": [len(g["params"]) for g in optimizer.param_groups],
        "gradients": [p.grad for p in parameters],
        "gradients' identity": TheVery(p.grad for p in parameters),
        "trains": [p.requires_grad for p in parameters],
        "modes": [m.training for m in modules],
        "counts": [getattr(m, "calls", None) for m in modules],
        "hooks": [
            [len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks)]
            for m in modules
        ],
        "optimizer state": state,
        "optimizer state's size": len(optimizer.state),
        "groups": groups,
        "rates' identity": TheVery(g["lr"] for g in groups if isinstance(g["lr"], Tensor)),
        "attributes": sorted(vars(optimizer)),
        "random": [random.getstate(), np.random.get_state(), torch.get_rng_state()],
        "others": [
            o.get_state() if isinstance(o, torch.Generator) else o.state_dict() for o in others
        ],
    }
    return {
        name: value if isinstance(value, TheVery) else _hashed(value)
        for name, value in known.items()
    }


def _hashed(value: Any) -> str:
    return hashlib.sha256(pickle.dumps(_plain(value))).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        return (str(value.dtype), tuple(value.shape), value.detach().clone().numpy().tobytes())
    if isinstance(value, np.ndarray):
        return value.tobytes()
    if isinstance(value, dict):
        return [(str(key), _plain(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return repr(value)


def train(model: Any, optimizer: Any, loader: Any, epochs: int = 1) -> Any:
    """A plain loop; the losses of its batches."""
    losses = []
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            loss = loss_function(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
    return losses


def endless(loader: Any) -> Iterator[Any]:
    while True:
        yield from loader
