"""Trainers make schedulers of their own: there, too, a moving multiplier is right or an error."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import accelerate
import lightning
import pytest
import torch
import transformers
from torch.utils.data import DataLoader, TensorDataset

from layerwise import gradual_unfreezing, linear, piecewise_constant
from layerwise.errors import OptimizerError
from layerwise.torch import ScheduleLR, param_groups
from tests._support.torch.networks import bits, loss_of, make_batch, make_network

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*num_workers.*"),
    pytest.mark.filterwarnings("ignore:.*log_every_n_steps.*"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

REFUSED = r"moves with the step, and .*ScheduleLR"


class Classifier(transformers.PreTrainedModel):
    """A model that the Trainer takes."""

    config_class = transformers.PretrainedConfig

    def __init__(self) -> None:
        super().__init__(transformers.PretrainedConfig())
        self.network = make_network()

    def forward(self, x: Any, labels: Any) -> dict[str, Any]:
        logits = self.network(x)
        return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits}


def make_trainer(folder: Path, scheduler: Any = None, kind: str = "linear") -> tuple[Any, Any]:
    model = Classifier()
    optimizer = torch.optim.AdamW(param_groups(model, gradual_unfreezing(every=1), lr=0.01))
    x, y = make_batch(0, samples=32)
    arguments = transformers.TrainingArguments(
        str(folder),
        max_steps=5,
        per_device_train_batch_size=4,
        lr_scheduler_type=kind,
        save_strategy="no",
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
    )
    trainer = transformers.Trainer(
        model,
        arguments,
        train_dataset=[{"x": a, "labels": b} for a, b in zip(x, y, strict=True)],
        optimizers=(optimizer, scheduler(optimizer) if scheduler else None),
    )
    trainer.remove_callback(transformers.PrinterCallback)
    return trainer, model


@pytest.mark.parametrize("kind", ["linear", "cosine", "constant"])
def test_the_trainers_own_scheduler(tmp_path: Path, kind: str) -> None:
    trainer, model = make_trainer(tmp_path, kind=kind)
    before = bits(model.parameters())
    with pytest.raises(OptimizerError, match=REFUSED):
        trainer.train()
    assert bits(model.parameters()) == before


def test_a_schedule_lr_given_to_the_trainer(tmp_path: Path) -> None:
    trainer, model = make_trainer(tmp_path, lambda optimizer: ScheduleLR(optimizer, linear(10)))
    before = bits(model.parameters())
    trainer.train()
    assert all(a != b for a, b in zip(bits(model.parameters()), before, strict=True))


@pytest.mark.parametrize("name", ["linear", "cosine", "constant_with_warmup", "polynomial"])
def test_get_scheduler(name: str) -> None:
    model = make_network()
    optimizer = torch.optim.AdamW(param_groups(model, gradual_unfreezing(every=9), lr=0.01))
    scheduler = transformers.get_scheduler(name, optimizer, 2, 20)
    loss_of(model, 0).backward()
    with pytest.raises(OptimizerError, match=f"{REFUSED}.* LambdaLR can't"):
        optimizer.step()
    scheduler.step()


@pytest.fixture
def accelerator() -> Iterator[Any]:
    yield accelerate.Accelerator(cpu=True)
    accelerate.state.AcceleratorState._reset_state(True)
    accelerate.state.GradientState._reset_state()


@pytest.mark.parametrize("before", [False, True])
def test_prepared_by_accelerate(accelerator: Any, before: bool) -> None:
    model = make_network()
    optimizer: Any = torch.optim.SGD(param_groups(model, gradual_unfreezing(every=1), lr=0.1))
    if before:
        peer = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    model, optimizer = accelerator.prepare(model, optimizer)
    if not before:
        peer = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    accelerator.backward(loss_of(model, 0))
    with pytest.raises(OptimizerError, match=f"{REFUSED}.* LambdaLR can't"):
        optimizer.step()
    scheduler = ScheduleLR(optimizer, linear(10))
    seen = []
    for step in range(4):
        optimizer.zero_grad()
        accelerator.backward(loss_of(model, step))
        optimizer.step()
        scheduler.step()
        seen.append(scheduler.get_last_lr())
    assert seen[0][0] == 0.0
    assert seen[3] == pytest.approx([0.1 * linear(10)(4)] * len(seen[3]))
    assert peer.last_epoch == 0


class Module(lightning.LightningModule):
    def __init__(self, make_scheduler: Any) -> None:
        super().__init__()
        self.network, self.make_scheduler = make_network(), make_scheduler
        self.start = bits(self.network.parameters())

    def training_step(self, batch: Any, number: int) -> Any:
        return torch.nn.functional.cross_entropy(self.network(batch[0]), batch[1])

    def configure_optimizers(self) -> Any:
        rules = {"network.backbone": piecewise_constant([2], [0.0, 1.0])}
        optimizer = torch.optim.AdamW(param_groups(self, rules, lr=0.05))
        scheduler = self.make_scheduler(optimizer)
        if scheduler is None:
            return optimizer
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }


def fit(folder: Path, module: Any) -> None:
    x, y = make_batch(0, samples=32)
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=1,
        max_steps=4,
        logger=False,
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    trainer.fit(module, DataLoader(TensorDataset(x, y), batch_size=8))


LIGHTNING: dict[str, Any] = {
    "none": lambda optimizer: None,
    "LambdaLR": lambda optimizer: torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: 1.0),
    "StepLR": lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1),
}


@pytest.mark.parametrize("other", LIGHTNING)
def test_in_lightning(tmp_path: Path, other: str) -> None:
    module = Module(LIGHTNING[other])
    with pytest.raises(OptimizerError, match=REFUSED):
        fit(tmp_path, module)
    assert bits(module.network.parameters()) == module.start


def test_in_lightning_with_a_schedule_lr(tmp_path: Path) -> None:
    module = Module(lambda optimizer: ScheduleLR(optimizer, linear(10)))
    fit(tmp_path, module)
    assert bits(module.network.parameters()) != module.start
