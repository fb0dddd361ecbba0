"""How deep the layers of well-known networks lie; the oracle is timm's ``group_matcher``."""

import os
from collections.abc import Callable
from typing import Any

# Before it is imported: no look-up of any model, anywhere.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import transformers
from torch import nn

from layerwise import gradual_unfreezing, layer_decay
from layerwise.multipliers import side_by_side
from layerwise.torch import biases_and_norms, explain, layers_of, param_groups
from tests._support.torch.architectures import (
    efficientnet_lite0,
    mobilenet_v3,
    small,
    without_weights,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning:transformers.*"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:transformers.*"),
]


def test_efficientnet_lite0_as_timm_counts_it() -> None:
    model = efficientnet_lite0()
    levels = layers_of(model)
    assert len(levels) == 1 + 16 + 1  # timm 1.0.29: max(group_parameters(...).values()) + 1 == 18
    assert levels[0] == ("conv_stem.weight", "bn1.weight", "bn1.bias")
    assert levels[16][-3:] == ("conv_head.weight", "bn2.weight", "bn2.bias")
    assert {name.rpartition(".")[0].rpartition(".")[0] for name in levels[4]} == {"blocks.2.0"}
    assert levels[17] == ("classifier.weight", "classifier.bias")
    assert layers_of(dict(model.named_parameters())) == levels
    groups = param_groups(
        model, layer_decay(0.5), lr=1.0, weight_decay=0.1, no_decay=biases_and_norms
    )
    assert len(groups) == 2 * 18


def test_a_model_that_says_its_depth_is_believed() -> None:
    class Stated(nn.Module):
        """As timm writes it: numbers count, 99999 is the layer before, the rest is the head's."""

        def __init__(self) -> None:
            super().__init__()
            self.neck = nn.Linear(2, 2)
            self.blocks = nn.ModuleList(nn.Linear(2, 2) for _ in range(11))
            self.stem, self.last = nn.Linear(2, 2), nn.Linear(2, 2)

        def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
            return {"stem": r"^stem", "blocks": [(r"^blocks\.(\d+)", None), (r"^last", (99999,))]}

    levels = layers_of(Stated())
    assert len(levels) == 1 + 11 + 1
    assert levels[0] == ("stem.weight", "stem.bias")
    assert levels[11] == ("blocks.10.weight", "blocks.10.bias", "last.weight", "last.bias")
    assert levels[12] == ("neck.weight", "neck.bias")
    assert layers_of(nn.ModuleDict({"module": Stated()})) == levels  # as DataParallel wraps it


def test_a_function_may_say_the_depth() -> None:
    class Upside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)

        def group_matcher(self, coarse: bool = False) -> Callable[[str], int]:
            return lambda name: "cba".index(name[0])

    assert [level[0][0] for level in layers_of(Upside())] == ["c", "b", "a"]


def test_a_network_without_containers_by_block() -> None:
    model = mobilenet_v3()
    layers, blocks = layers_of(model), layers_of(model, by="block")
    assert len(layers) == 1 + 2 + 4 * 3 + 1 + 1
    assert len(blocks) == 1 + 5 + 1 + 1
    assert {name.split("_")[2].split(".")[0] for name in blocks[1]} == {"depthwise", "project"}
    assert [len(level) for level in blocks] == [3, 6, 9, 9, 9, 9, 3, 2]
    groups = param_groups(model, gradual_unfreezing(10), lr=1.0, layers=blocks)
    assert len(groups) == 8
    assert layers_of(efficientnet_lite0(), by="block") == layers_of(efficientnet_lite0())


def clip() -> nn.Module:
    config = transformers.CLIPConfig(
        text_config=small(transformers.CLIPTextConfig).to_dict(),
        vision_config=small(
            transformers.CLIPVisionConfig, num_hidden_layers=2, image_size=8, patch_size=4
        ).to_dict(),
        projection_dim=8,
    )
    return transformers.CLIPModel(config)


def test_the_towers_of_clip_side_by_side() -> None:
    model = without_weights(clip)
    levels = side_by_side(layers_of(model), "vision_model", "text_model")
    plan = explain(model, layer_decay(0.5), layers=levels)
    found = dict(zip(plan.to_dict()["parameter"], plan.multipliers(0).tolist(), strict=True))
    top = 0.5**2  # below the two projections
    for tower, count in (("text_model", 3), ("vision_model", 2)):
        for layer in range(count):
            name = f"{tower}.encoder.layers.{layer}.mlp.fc1.weight"
            assert found[name] == top * 0.5 ** (count - 1 - layer)
        embedding = f"{tower}.embeddings.position_embedding.weight"
        assert found[embedding] == top * 0.5**count
    assert found["vision_model.post_layernorm.weight"] == top
    assert found["text_projection.weight"] == found["logit_scale"] == 1.0


# What is in each level, by the beginnings of its names.
MODELS: dict[str, tuple[Callable[[], nn.Module], list[str]]] = {
    "T5": (
        lambda: transformers.T5ForConditionalGeneration(
            transformers.T5Config(
                vocab_size=20, d_model=8, d_kv=4, d_ff=16, num_layers=2, num_heads=2
            )
        ),
        [
            "shared",
            "encoder.block.0",
            "encoder.block.1 encoder.final_layer_norm",
            "decoder.block.0",
            "decoder.block.1 decoder.final_layer_norm",
        ],
    ),
    "BART": (
        lambda: transformers.BartModel(
            transformers.BartConfig(
                vocab_size=20,
                d_model=8,
                encoder_layers=2,
                decoder_layers=2,
                encoder_attention_heads=2,
                decoder_attention_heads=2,
                encoder_ffn_dim=16,
                decoder_ffn_dim=16,
            )
        ),
        [
            "shared encoder.embed_positions",
            "encoder.layers.0",
            "encoder.layers.1 encoder.layernorm_embedding",  # registered after the layers
            "decoder.embed_positions",
            "decoder.layers.0",
            "decoder.layers.1 decoder.layernorm_embedding",
        ],
    ),
    "Wav2Vec2": (
        lambda: transformers.Wav2Vec2ForSequenceClassification(
            small(
                transformers.Wav2Vec2Config,
                vocab_size=20,
                conv_dim=(4, 4),
                conv_stride=(2, 2),
                conv_kernel=(3, 3),
                num_conv_pos_embeddings=4,
                num_conv_pos_embedding_groups=2,
                classifier_proj_size=4,
            )
        ),
        [
            "wav2vec2.masked_spec_embed",
            "wav2vec2.feature_extractor.conv_layers.0",
            "wav2vec2.feature_extractor.conv_layers.1 wav2vec2.feature_projection.layer_norm",
            "wav2vec2.feature_projection.projection",
            "wav2vec2.encoder.pos_conv_embed wav2vec2.encoder.layer_norm",
            "wav2vec2.encoder.layers.0",
            "wav2vec2.encoder.layers.1",
            "wav2vec2.encoder.layers.2",
            "projector",
            "classifier",
        ],
    ),
    "ConvNext": (
        lambda: transformers.ConvNextForImageClassification(
            transformers.ConvNextConfig(depths=[2, 1, 1, 1], hidden_sizes=[4, 4, 4, 4])
        ),
        [
            "convnext.embeddings",
            "convnext.encoder.stages.0.layers.0",
            "convnext.encoder.stages.0.layers.1",
            "convnext.encoder.stages.1",
            "convnext.encoder.stages.2",
            "convnext.encoder.stages.3 convnext.layernorm",
            "classifier",
        ],
    ),
    "ResNet": (
        lambda: transformers.ResNetForImageClassification(
            transformers.ResNetConfig(
                embedding_size=4, hidden_sizes=[4, 4], depths=[2, 2], layer_type="basic"
            )
        ),
        [
            "resnet.embedder",
            "resnet.encoder.stages.0.layers.0",
            "resnet.encoder.stages.0.layers.1",
            "resnet.encoder.stages.1.layers.0",
            "resnet.encoder.stages.1.layers.1",
            "classifier",
        ],
    ),
    "Swin": (
        lambda: transformers.SwinForImageClassification(
            transformers.SwinConfig(
                image_size=16, patch_size=2, embed_dim=4, depths=[2, 2], num_heads=[1, 2]
            )
        ),
        [
            "swin.embeddings",
            "swin.encoder.layers.0.blocks.0",
            "swin.encoder.layers.0.blocks.1",
            "swin.encoder.layers.0.downsample swin.encoder.layers.1.blocks.0",
            "swin.encoder.layers.1.blocks.1 swin.layernorm",
            "classifier",
        ],
    ),
    "Mamba": (
        lambda: transformers.MambaForCausalLM(
            transformers.MambaConfig(hidden_size=8, state_size=2, num_hidden_layers=2, vocab_size=5)
        ),
        [
            "backbone.embeddings",
            "backbone.layers.0",
            "backbone.layers.1 backbone.norm_f",
        ],
    ),
    "Qwen2-MoE": (
        lambda: transformers.Qwen2MoeForCausalLM(
            small(
                transformers.Qwen2MoeConfig,
                num_key_value_heads=1,
                num_experts=2,
                moe_intermediate_size=4,
                shared_expert_intermediate_size=4,
            )
        ),
        [
            "model.embed_tokens",
            "model.layers.0",
            "model.layers.1",
            "model.layers.2 model.norm",
            "lm_head",
        ],
    ),
    "DeiT, two heads": (
        lambda: transformers.DeiTForImageClassificationWithTeacher(
            small(transformers.DeiTConfig, image_size=8, patch_size=4)
        ),
        [
            "deit.embeddings",
            "deit.layers.0",
            "deit.layers.1",
            "deit.layers.2 deit.layernorm",
            "cls_classifier distillation_classifier",
        ],
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_levels_of_an_architecture(name: str) -> None:
    make, expected = MODELS[name]
    model = without_weights(make)
    levels = layers_of(model)
    assert len(levels) == len(expected), [level[0] for level in levels]
    for level, line in zip(levels, expected, strict=True):
        starts = line.split()
        for start in starts:
            assert any(parameter.startswith(start) for parameter in level), (start, level)
        assert all(parameter.startswith(tuple(starts)) for parameter in level), (starts, level)
    found = {parameter for level in levels for parameter in level}
    assert found == {parameter for parameter, _ in model.named_parameters()}
