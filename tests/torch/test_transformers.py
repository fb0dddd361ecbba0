"""Transformers: depth from the names of its encoders, and its Trainer with our groups."""

import json
import os
from pathlib import Path
from typing import Any

# Before it is imported: no look-up of any model, anywhere.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch
import transformers

from layerwise import cosine, discriminative, layer_decay, warmup
from layerwise.torch import ScheduleLR, biases_and_norms, layers_of, param_groups
from tests._support.torch.networks import bits

SIZES: dict[str, Any] = {
    "hidden_size": 8,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}
SCHEDULE = warmup(3, start=0.25) >> cosine(20)
STEPS = 12

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning"),  # there is no GPU here
    pytest.mark.filterwarnings("ignore::FutureWarning:transformers.*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:transformers.*"),
]


def make_bert() -> Any:
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=20, max_position_embeddings=16, num_labels=2, **SIZES
    )
    return transformers.BertForSequenceClassification(config)


def make_vit() -> Any:
    return transformers.ViTForImageClassification(
        transformers.ViTConfig(image_size=8, patch_size=4, **SIZES)
    )


def make_gpt2() -> Any:
    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=20, n_positions=16, n_embd=8, n_layer=3, n_head=2)
    )


def make_llama() -> Any:
    return transformers.LlamaForSequenceClassification(
        transformers.LlamaConfig(vocab_size=20, num_key_value_heads=2, **SIZES)
    )


def make_roberta() -> Any:
    return transformers.RobertaForTokenClassification(
        transformers.RobertaConfig(vocab_size=20, max_position_embeddings=16, **SIZES)
    )


# The first level, the three blocks (the beginning of their names), and what follows.
ENCODERS: dict[str, tuple[Any, str, str, list[str]]] = {
    "BERT": (
        make_bert,
        "bert.embeddings.",
        "bert.encoder.layer.",
        ["bert.pooler.", "classifier."],
    ),
    "RoBERTa": (make_roberta, "roberta.embeddings.", "roberta.encoder.layer.", ["classifier."]),
    "ViT": (make_vit, "vit.embeddings.", "vit.", ["classifier."]),
    "GPT-2": (make_gpt2, "transformer.w", "transformer.", []),  # ln_f is the last block's
    "Llama": (make_llama, "model.embed_tokens.", "model.", ["score."]),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_depth_from_the_names_of_encoders(name: str) -> None:
    make, first, blocks, rest = ENCODERS[name]
    levels = layers_of(make())
    assert len(levels) == 1 + 3 + len(rest)
    assert all(parameter.startswith(first) for parameter in levels[0])
    for level in levels[1:4]:
        assert all(parameter.startswith(blocks) for parameter in level)
        assert len(level) >= 9  # a whole block
    for level, start in zip(levels[4:], rest, strict=True):
        assert all(parameter.startswith(start) for parameter in level)


def test_layer_decay_as_it_is_written_by_hand() -> None:
    model = make_bert()
    groups = param_groups(
        model, layer_decay(0.5), lr=1.0, weight_decay=0.01, no_decay=biases_and_norms
    )
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    named = {name: rates[id(p)] for name, p in model.named_parameters()}
    assert named["classifier.weight"] == 1.0
    assert named["bert.pooler.dense.bias"] == 0.5
    for layer in range(3):
        own = {r for name, r in named.items() if name.startswith(f"bert.encoder.layer.{layer}.")}
        assert own == {0.5 ** (4 - layer)}
    assert named["bert.embeddings.word_embeddings.weight"] == 0.5**5
    names = [group["name"] for group in groups]
    layers = ["bert.embeddings", *(f"bert.encoder.layer.{layer}" for layer in range(3))]
    layers += ["bert.pooler.dense", "classifier"]
    assert names == [name for layer in layers for name in (layer, f"{layer}, no decay")]


def make_dataset() -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(20, (32, 6), generator=generator)
    return [{"input_ids": row, "labels": int(row[0]) % 2} for row in ids]


def make_trainer(folder: Path, steps: int = STEPS) -> tuple[Any, Any]:
    model = make_bert()
    groups = param_groups(model, discriminative(0.1), lr=0.01, weight_decay=0.1, no_decay="bert")
    optimizer = torch.optim.AdamW(groups)
    scheduler = ScheduleLR(optimizer, SCHEDULE)
    arguments = transformers.TrainingArguments(
        str(folder),
        max_steps=steps,
        per_device_train_batch_size=4,
        logging_steps=1,
        save_steps=5,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        seed=1,
    )
    trainer = transformers.Trainer(
        model, arguments, train_dataset=make_dataset(), optimizers=(optimizer, scheduler)
    )
    trainer.remove_callback(transformers.PrinterCallback)
    return trainer, scheduler


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Any]:
    folder = tmp_path_factory.mktemp("transformers")
    trainer, scheduler = make_trainer(folder)
    trainer.train()
    return folder, trainer, scheduler


def logged(trainer: Any) -> list[float]:
    return [line["learning_rate"] for line in trainer.state.log_history if "learning_rate" in line]


def test_the_logged_rates_are_ours(run: tuple[Path, Any, Any]) -> None:
    """The Trainer logs the rate of the first group: here the embeddings'."""
    _, trainer, scheduler = run
    assert scheduler.last_epoch == STEPS
    assert scheduler.optimizer.param_groups[0]["name"] == "bert.embeddings"
    rates = logged(trainer)
    assert rates == pytest.approx([0.01 * 0.1 * SCHEDULE(step) for step in range(STEPS)])
    assert scheduler.get_last_lr()[-1] == pytest.approx(0.01 * SCHEDULE(STEPS))


def test_a_checkpoint_is_resumed(run: tuple[Path, Any, Any], tmp_path: Path) -> None:
    folder, whole, _ = run
    saved = json.loads((folder / "checkpoint-5" / "trainer_state.json").read_text())
    assert saved["global_step"] == 5  # in the middle of an epoch of 8
    trainer, scheduler = make_trainer(tmp_path)
    trainer.train(resume_from_checkpoint=str(folder / "checkpoint-5"))
    assert scheduler.last_epoch == STEPS
    assert logged(trainer) == logged(whole)
    assert bits(trainer.model.parameters()) == bits(whole.model.parameters())
    assert bits(trainer.model.parameters()) != bits(make_bert().parameters())
