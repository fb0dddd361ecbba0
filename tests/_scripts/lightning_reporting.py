"""Two processes of Lightning's whose own metrics would decide differently: ``RANK FOLDER``."""

import json
import os
import sys
import warnings
from datetime import timedelta
from pathlib import Path

import lightning.pytorch as lightning
import torch
import torch.distributed as dist
from lightning.pytorch.strategies import DDPStrategy
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from layerwise import reduce_on_plateau
from layerwise.torch import ScheduleLR
from layerwise.torch.lightning import ReportMetrics

WORLD = 2
LOSSES = ((1.0, 0.9, 0.8, 0.9), (1.0, 1.0, 1.0, 1.0))
"""The metric of each rank after each epoch."""


class Module(lightning.LightningModule):
    """A module that logs a metric of its own on each rank."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net, self.rank, self.rates = nn.Linear(4, 1), rank, list[float]()

    def configure_optimizers(self) -> object:
        optimizer = torch.optim.SGD(self.parameters(), lr=1.0)
        scheduler = ScheduleLR(optimizer, reduce_on_plateau("val_loss", 0.5, 1))
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

    def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
        return self.net(batch[0]).square().mean()

    def validation_step(self, batch: list[torch.Tensor], _: int) -> None:
        self.log("val_loss", torch.tensor(LOSSES[self.rank][self.current_epoch]), sync_dist=False)

    def on_train_epoch_start(self) -> None:
        self.rates.append(self.optimizers().param_groups[0]["lr"])


def main(rank: int, folder: Path) -> None:
    """Train on one rank."""
    store = dist.FileStore(str(folder / "store"), WORLD)
    dist.init_process_group(
        "gloo", store=store, rank=rank, world_size=WORLD, timeout=timedelta(seconds=120)
    )
    warnings.simplefilter("ignore")  # Lightning's advice on workers and loggers
    data = DataLoader(TensorDataset(torch.linspace(-1, 1, 64).reshape(16, 4)), batch_size=4)
    module = Module(rank)
    trainer = lightning.Trainer(
        max_epochs=len(LOSSES[0]),
        accelerator="cpu",
        devices=WORLD,
        strategy=DDPStrategy(process_group_backend="gloo"),
        callbacks=[ReportMetrics()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(module, data, data)
    (folder / f"{rank}.json").write_text(json.dumps(module.rates))
    dist.destroy_process_group()


if __name__ == "__main__":
    os.environ |= {"GLOO_SOCKET_IFNAME": "lo", "LOCAL_RANK": sys.argv[1]}  # started by no launcher
    main(int(sys.argv[1]), Path(sys.argv[2]))
