"""Trainers clip gradients too: frozen layers don't steer Accelerate, Lightning or Transformers.

Each is compared with itself, with ``requires_grad`` set by hand and PyTorch's own scheduler.
"""

import os
from pathlib import Path
from typing import Any

# Before it is imported: no look-up of any model, anywhere.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import accelerate
import lightning
import pytest
import torch
import transformers
from accelerate.state import AcceleratorState, GradientState, PartialState
from torch.utils.data import DataLoader, SequentialSampler, TensorDataset

from layerwise import piecewise_constant
from layerwise.torch import ScheduleLR, param_groups
from tests._support.torch.networks import Network, bits, make_batch, make_network

THAW, STEPS, CLIP, SAMPLES = 3, 6, 0.1, 4

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*num_workers.*"),
    pytest.mark.filterwarnings("ignore:.*log_every_n_steps.*"),
    pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:lightning.*"),
    pytest.mark.filterwarnings("ignore::FutureWarning:lightning.*"),
    pytest.mark.filterwarnings("ignore::FutureWarning:transformers.*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:transformers.*"),
]


def make_training(model: Any, by_hand: bool) -> tuple[Any, Any]:
    """An optimizer and a scheduler; by hand, the backbone is frozen by requires_grad."""
    if by_hand:
        model.backbone.requires_grad_(False)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
        return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    rules = {"backbone": piecewise_constant([THAW], [0.0, 1.0])}
    optimizer = torch.optim.AdamW(param_groups(model, rules, lr=0.1), weight_decay=0.1)
    return optimizer, ScheduleLR(optimizer)


def make_data() -> TensorDataset:
    return TensorDataset(*make_batch(0, samples=SAMPLES * STEPS))


def with_accelerate(by_hand: bool, folder: Path) -> Any:
    accelerator = accelerate.Accelerator(cpu=True)
    network = make_network()
    parts = (network, *make_training(network, by_hand), DataLoader(make_data(), SAMPLES))
    model, optimizer, scheduler, loader = accelerator.prepare(*parts)
    for step, (x, y) in enumerate(loader):
        if by_hand and step == THAW:
            network.backbone.requires_grad_(True)
        optimizer.zero_grad()
        accelerator.backward(torch.nn.functional.cross_entropy(model(x), y))
        accelerator.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        scheduler.step()
    return network


class Classifier(lightning.LightningModule):
    def __init__(self, by_hand: bool) -> None:
        super().__init__()
        self.network, self.by_hand = make_network(), by_hand

    def on_train_batch_start(self, batch: Any, number: int) -> None:
        if self.by_hand and number == THAW:
            self.network.backbone.requires_grad_(True)

    def training_step(self, batch: Any, number: int) -> Any:
        return torch.nn.functional.cross_entropy(self.network(batch[0]), batch[1])

    def configure_optimizers(self) -> Any:
        optimizer, scheduler = make_training(self.network, self.by_hand)
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]


def with_lightning(by_hand: bool, folder: Path) -> Any:
    module = Classifier(by_hand)
    lightning.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=1,
        gradient_clip_val=CLIP,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(module, DataLoader(make_data(), SAMPLES))
    return module.network


class WithLoss(Network):
    def forward(self, x: Any, labels: Any) -> Any:  # type: ignore[override]
        logits = super().forward(x)
        return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits}


class Trainer(transformers.Trainer):
    def _get_train_sampler(self, *args: Any, **kwargs: Any) -> Any:
        return SequentialSampler(self.train_dataset)


class Thaw(transformers.TrainerCallback):
    def on_step_begin(
        self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any
    ) -> None:
        if state.global_step == THAW:
            model.backbone.requires_grad_(True)


def with_transformers(by_hand: bool, folder: Path) -> Any:
    torch.manual_seed(3)
    model = WithLoss()
    arguments = transformers.TrainingArguments(
        str(folder),
        max_steps=STEPS,
        per_device_train_batch_size=SAMPLES,
        max_grad_norm=CLIP,
        report_to="none",
        save_strategy="no",
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = Trainer(
        model,
        arguments,
        train_dataset=[{"x": x, "labels": y} for x, y in make_data()],
        optimizers=make_training(model, by_hand),
        callbacks=[Thaw()] if by_hand else [],
    )
    trainer.train()
    return model


@pytest.fixture(autouse=True)
def _accelerate_state() -> Any:
    yield
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()


@pytest.mark.parametrize("train", [with_accelerate, with_lightning, with_transformers])
def test_it_trains_as_without_requires_grad(train: Any, tmp_path: Path) -> None:
    ours, by_hand = train(False, tmp_path / "ours"), train(True, tmp_path / "by hand")
    assert bits(ours.parameters()) == bits(by_hand.parameters())
    start = make_network()
    assert all(
        a != b for a, b in zip(bits(ours.parameters()), bits(start.parameters()), strict=True)
    )
