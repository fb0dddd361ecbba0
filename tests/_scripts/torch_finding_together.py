"""One of two processes that search a rate together; each has half of every batch.

python -m tests._scripts.torch_finding_together RANK FOLDER
"""

import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from layerwise.torch import find_lr, find_rates, param_groups
from tests._support.torch.finding import fingerprint, loss_function
from tests._support.torch.networks import bits, make_batch, make_network

WORLD = 2
OPTIONS: dict[str, Any] = {"steps": 20, "low": 1e-3, "progress": False}


def batches(number: int, part: slice) -> list[Any]:
    found = [make_batch(step) for step in range(number)]
    return [(x[part].double(), y[part]) for x, y in found]


def make(model: Any) -> Any:
    return torch.optim.AdamW(param_groups(model, {"backbone": 0.1}, lr=0.05))


def search(model: Any, part: slice, number: int, **options: Any) -> dict[str, Any]:
    optimizer = make(model)
    before = fingerprint(model, optimizer)
    data = batches(number, part)
    found = find_lr(model, optimizer, loss_function, data, **OPTIONS | options)
    return {
        "finding": found.to_config(),
        "left": fingerprint(model, optimizer) == before,
        "weights": bits(model.parameters()),
    }


def data_parallel(rank: int) -> dict[str, Any]:
    part = slice(rank * 8, rank * 8 + 8)
    model = nn.parallel.DistributedDataParallel(make_network().double())
    plain = search(model, part, 8)
    accumulated = search(model, part, 8, accumulate=2, method="sweep")
    # One rank's data ends before the other's, and can't be gone through again.
    optimizer = make(model)
    data = iter(batches(6 + rank, part))
    uneven = find_lr(model, optimizer, loss_function, data, method="sweep", **OPTIONS)
    return {
        "plain": plain,
        "accumulated": accumulated,
        "uneven": uneven.to_config(),
        "in buckets": in_buckets(part),
        "rates": rates(part),
    }


def rates(part: slice) -> dict[str, Any]:
    """A search for the rate of every layer, on both ranks."""
    model = nn.parallel.DistributedDataParallel(make_network().double())
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    before = fingerprint(model, optimizer)
    found = find_rates(
        model, optimizer, loss_function, batches(12, part), budget=200, progress=False
    )
    return {"finding": found.to_config(), "left": fingerprint(model, optimizer) == before}


def in_buckets(part: slice) -> dict[str, Any]:
    """Gradients that are views of what each backward pass fills anew."""
    model = make_network().double()
    model = nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True)
    for x, y in batches(3, part):
        loss_function(model(x), y).backward()
    return search(model, part, 8, method="sweep")


def fully_sharded(rank: int) -> dict[str, Any]:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    model = make_network().double()
    fully_shard(model, mesh=init_device_mesh("cpu", (WORLD,)))
    optimizer = make(model)
    before = [bits([p.to_local()]) for p in model.parameters()]  # type: ignore[operator]
    data = batches(8, slice(rank * 8, rank * 8 + 8))
    found = find_lr(model, optimizer, loss_function, data, method="sweep", **OPTIONS)
    after = [bits([p.to_local()]) for p in model.parameters()]  # type: ignore[operator]
    return {"finding": found.to_config(), "left": before == after and not optimizer.state}


def main(rank: int, folder: Path) -> None:
    store = dist.FileStore(str(folder / "store"), WORLD)
    dist.init_process_group(
        "gloo", store=store, rank=rank, world_size=WORLD, timeout=timedelta(seconds=120)
    )
    found = data_parallel(rank) | {"sharded": fully_sharded(rank)}
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    main(int(sys.argv[1]), Path(sys.argv[2]))
