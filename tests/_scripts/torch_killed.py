"""A training run that writes a checkpoint every five steps and goes on from the last one.

python -m tests._scripts.torch_killed FOLDER STEPS [KILL_AT]

With KILL_AT the process kills itself, with SIGKILL, in the middle of that step.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from layerwise import cosine, cyclic, warmup
from layerwise.torch import ScheduleLR, biases_and_norms, param_groups
from tests._support.torch.networks import loss_of, make_network

RULES: dict[str, Any] = {"backbone": 0.1, "head": cyclic(7, low=0.2)}


def main(folder: Path, steps: int, kill_at: int | None = None) -> None:
    model = make_network()
    optimizer = torch.optim.AdamW(
        param_groups(model, RULES, lr=0.05, weight_decay=0.1, no_decay=biases_and_norms)
    )
    scheduler = ScheduleLR(optimizer, warmup(5) >> cosine(40))
    parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler}
    checkpoint = folder / "checkpoint.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(saved[name])
    for step in range(scheduler.last_epoch, steps):
        with (folder / "steps.txt").open("a") as file:
            file.write(f"{step} {scheduler.get_last_lr()}\n")
        optimizer.zero_grad()
        loss_of(model, step).backward()
        if step == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        optimizer.step()
        scheduler.step()
        if scheduler.last_epoch % 5 == 0:
            half = folder / "checkpoint.half"
            torch.save({name: part.state_dict() for name, part in parts.items()}, half)
            half.replace(checkpoint)  # a checkpoint is there whole or not at all
    torch.save(model.state_dict(), folder / "end.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
