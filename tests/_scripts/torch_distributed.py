"""One of two processes that train together; each has half of every batch.

python -m tests._scripts.torch_distributed RANK FOLDER
"""

import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from layerwise import cosine, piecewise_constant, warmup
from layerwise.errors import OptimizerError
from layerwise.recorder import History
from layerwise.torch import Recorder, ScheduleLR, param_groups
from tests._support.torch.networks import make_batch, make_network

WORLD = 2
STEPS = 12
RULES = {
    "backbone": 0.1,
    "backbone.3": 0.5,
    "backbone.1": piecewise_constant([5], [0.0, 2.0]),  # joins at step 5
    "head": 2.0,
}
SCHEDULE = warmup(3, start=0.1) >> cosine(15)


def train(model: Any, part: slice) -> list[dict[str, Any]]:
    """Train on a part of each batch; returns the settings of the groups."""
    groups = param_groups(model, RULES, lr=0.05, weight_decay=0.1)
    settings = [{"name": group["name"], "lr": group["lr"]} for group in groups]
    optimizer = torch.optim.AdamW(groups)
    scheduler = ScheduleLR(optimizer, SCHEDULE)
    for step in range(STEPS):
        x, y = make_batch(step)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[part].double()), y[part]).backward()
        joins = next(group for group in groups if group["name"] == "backbone.1")
        assert step >= 5 or not any(map(steers, joins["params"]))
        nn.utils.clip_grad_norm_(model.parameters(), 0.05)
        optimizer.step()
        scheduler.step()
    return settings


def steers(tensor: Any) -> bool:
    """Whether a parameter has a gradient that counts; DistributedDataParallel leaves zeros."""
    return tensor.grad is not None and bool(tensor.grad.any())


def make_model() -> Any:
    return make_network().double()


def data_parallel(rank: int) -> tuple[Any, Any]:
    model = nn.parallel.DistributedDataParallel(make_model())
    settings = train(model, slice(rank * 8, rank * 8 + 8))
    return {name: p.detach() for name, p in model.module.named_parameters()}, settings


def make_sharded() -> Any:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    model, mesh = make_model(), init_device_mesh("cpu", (WORLD,))
    for layer in (model.backbone[0], model.backbone[3], model):
        fully_shard(layer, mesh=mesh)
    return model


def fully_sharded(rank: int) -> tuple[Any, Any]:
    model = make_sharded()
    settings = train(model, slice(rank * 8, rank * 8 + 8))
    return {name: p.full_tensor().detach() for name, p in model.named_parameters()}, settings


def recorded_ratios(rank: int, folder: Path) -> tuple[Any, list[float]]:
    """What one rank alone records of how far the head moved, and that of its shard by hand."""
    model = make_sharded()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    recorder = Recorder(folder / "run", optimizer, model=model, ratios=1) if rank == 0 else None
    shard = [tensor.to_local() for tensor in model.head.parameters()]
    expected = []
    for step in range(3):
        x, y = make_batch(step)
        before = torch.cat([part.detach().flatten() for part in shard])
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x.double()), y).backward()
        optimizer.step()
        moved = torch.cat([part.detach().flatten() for part in shard]) - before
        expected.append(float(moved.norm() / before.norm()))
        if recorder is not None:
            recorder.log()
    if recorder is None:
        return None, expected
    recorder.close()
    return History.load(folder / "run").ratios["head"].tolist(), expected


def first_fsdp(use_orig_params: bool) -> str:
    """What the groups of a model under the older FSDP are, or why there are none."""
    from torch.distributed.fsdp import FullyShardedDataParallel

    cpu = torch.device("cpu")
    model = FullyShardedDataParallel(make_model(), use_orig_params=use_orig_params, device_id=cpu)
    try:
        groups = param_groups(model, {"backbone": 0.1}, lr=1.0)
    except OptimizerError as error:
        return str(error)
    return " and ".join(f"{group['name']} at {group['lr']}" for group in groups)


WAYS = {"DistributedDataParallel": data_parallel, "fully_shard": fully_sharded}


def main(rank: int, folder: Path) -> None:
    store = dist.FileStore(str(folder / "store"), WORLD)
    dist.init_process_group(
        "gloo", store=store, rank=rank, world_size=WORLD, timeout=timedelta(seconds=120)
    )
    for name, way in WAYS.items():
        weights, settings = way(rank)
        torch.save({"weights": weights, "settings": settings}, folder / f"{name}-{rank}.pt")
    torch.save(recorded_ratios(rank, folder), folder / f"ratios-{rank}.pt")
    said = {use: first_fsdp(use) for use in (False, True)}
    torch.save(said, folder / f"FullyShardedDataParallel-{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    main(int(sys.argv[1]), Path(sys.argv[2]))
