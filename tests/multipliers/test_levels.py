import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerwise.multipliers import blocks_joined, levels_from_names
from tests._support import rules as own

# Each model as levels, from input to head: what is on one line is one level.
MODELS = {
    "Keras, Sequential": (
        "/",
        """
        sequential/conv2d/kernel sequential/conv2d/bias
        sequential/conv2d_1/kernel sequential/conv2d_1/bias
        sequential/dense/kernel sequential/dense/bias
        """,
    ),
    "Keras, one layer": ("/", "dense/kernel dense/bias"),
    "Keras, weights without a layer": ("/", "kernel bias"),
    "Keras, MultiHeadAttention": (
        "/",
        """
        conv/kernel
        mha/query/kernel mha/key/kernel mha/value/kernel mha/attention_output/kernel norm/gamma
        head/kernel
        """,
    ),
    "Keras, numbered blocks": (
        "/",
        """
        patch/kernel
        block_0/mha/query/kernel block_0/mha/key/kernel block_0/norm/gamma block_0/ffn/kernel
        block_1/mha/query/kernel block_1/mha/key/kernel block_1/norm/gamma block_1/ffn/kernel
        head/kernel
        """,
    ),
    "Keras, numbered as Keras does it": (
        "/",
        """
        m/encoder/mha/query/kernel m/encoder/ffn/kernel
        m/encoder_1/mha/query/kernel m/encoder_1/ffn/kernel
        m/encoder_2/mha/query/kernel m/encoder_2/ffn/kernel
        m/head/kernel
        """,
    ),
    "Keras, containers are no blocks": (
        "/",
        """
        m/sequential/conv/kernel
        m/sequential/conv_1/kernel
        m/sequential_1/dense/kernel
        m/sequential_1/dense_1/kernel
        """,
    ),
    "Keras, embeddings": (
        "/",
        """
        token_and_position/token_embedding/embeddings token_and_position/position_embedding/table
        dense/kernel
        """,
    ),
    "Torch, plain": (
        ".",
        """
        conv1.weight conv1.bias bn1.weight bn1.bias
        fc.weight fc.bias
        """,
    ),
    "Torch, VGG": (
        ".",
        """
        features.0.weight features.0.bias
        features.3.weight features.3.bias
        classifier.0.weight classifier.0.bias
        classifier.6.weight classifier.6.bias
        """,
    ),
    "Torch, ResNet": (
        ".",
        """
        conv1.weight bn1.weight bn1.bias
        layer1.0.conv1.weight layer1.0.bn1.weight layer1.0.conv2.weight
        layer1.1.conv1.weight layer1.1.bn1.weight layer1.1.conv2.weight
        layer2.0.conv1.weight layer2.0.downsample.0.weight layer2.0.downsample.1.weight
        layer2.1.conv1.weight layer2.1.bn1.weight
        fc.weight fc.bias
        """,
    ),
    "Torch, EfficientNet": (
        ".",
        """
        features.0.0.weight features.0.1.weight
        features.1.0.block.0.0.weight features.1.0.block.1.fc1.weight
        features.2.0.block.0.0.weight
        features.2.1.block.0.0.weight
        features.8.0.weight features.8.1.weight
        classifier.1.weight
        """,
    ),
    "timm, ViT": (
        ".",
        """
        cls_token pos_embed patch_embed.proj.weight patch_embed.proj.bias
        blocks.0.norm1.weight blocks.0.attn.qkv.weight blocks.0.attn.proj.weight
        blocks.1.norm1.weight blocks.1.attn.qkv.weight blocks.1.attn.proj.weight norm.weight
        head.weight head.bias
        """,
    ),
    "timm, Swin": (
        ".",
        """
        patch_embed.proj.weight patch_embed.norm.weight
        layers.0.blocks.0.attn.qkv.weight layers.0.blocks.0.mlp.fc1.weight
        layers.0.blocks.1.attn.qkv.weight
        layers.1.downsample.norm.weight layers.1.blocks.0.attn.qkv.weight
        layers.1.blocks.1.attn.qkv.weight
        head.fc.weight
        """,
    ),
    "Hugging Face, BERT": (
        ".",
        """
        bert.embeddings.word_embeddings.weight bert.embeddings.LayerNorm.weight
        bert.encoder.layer.0.attention.self.query.weight bert.encoder.layer.0.output.dense.weight
        bert.encoder.layer.1.attention.self.query.weight bert.encoder.layer.1.output.dense.weight
        bert.pooler.dense.weight
        classifier.weight
        """,
    ),
    "Hugging Face, T5": (
        ".",
        """
        encoder.block.0.layer.0.SelfAttention.q.weight encoder.block.0.layer.1.FF.wi.weight
        encoder.block.1.layer.0.SelfAttention.q.weight encoder.block.1.layer.1.FF.wi.weight
        decoder.block.0.layer.0.SelfAttention.q.weight
        decoder.block.1.layer.0.SelfAttention.q.weight
        """,
    ),
    "Hugging Face, LLaMA": (
        ".",
        """
        model.embed_tokens.weight
        model.layers.0.self_attn.q_proj.weight model.layers.0.mlp.gate_proj.weight
        model.layers.1.self_attn.q_proj.weight model.layers.1.mlp.gate_proj.weight model.norm.weight
        lm_head.weight
        """,
    ),
    "GPT-2": (
        ".",
        """
        wte.weight wpe.weight
        h.0.attn.c_attn.weight h.0.mlp.c_fc.weight
        h.1.attn.c_attn.weight h.1.mlp.c_fc.weight ln_f.weight
        """,
    ),
    "Torch, MultiheadAttention": (
        ".",
        """
        attn.in_proj_weight attn.in_proj_bias attn.out_proj.weight norm.weight
        """,
    ),
    "Torch, projections beside each other": (
        ".",
        """
        proj_in.weight
        attn.q_proj.weight attn.k_proj.weight attn.v_proj.weight attn.o_proj.weight attn.norm.weight
        head.weight
        """,
    ),
    "experts are parts of a block": (
        ".",
        """
        blocks.0.gate.weight blocks.0.experts.0.fc.weight blocks.0.experts.1.fc.weight
        blocks.1.gate.weight blocks.1.experts.0.fc.weight blocks.1.experts.1.fc.weight
        """,
    ),
    "different things in one block are no blocks": (
        ".",
        """
        layers.0.0.to_qkv.weight layers.0.0.norm.weight layers.0.1.net.0.weight
        layers.1.0.to_qkv.weight layers.1.0.norm.weight layers.1.1.net.0.weight
        """,
    ),
    "one block is not repeated": (
        ".",
        """
        encoder.layer.0.attention.dense.weight
        encoder.layer.0.output.dense.weight
        """,
    ),
    "an embedder is no embedding": (
        ".",
        """
        embedder.fc1.weight
        embedder.fc2.weight
        head.weight
        """,
    ),
    "torchvision, DenseNet": (
        ".",
        """
        features.conv0.weight features.norm0.weight
        features.denseblock1.denselayer1.norm1.weight features.denseblock1.denselayer1.conv1.weight
        features.denseblock1.denselayer2.norm1.weight features.denseblock1.denselayer2.conv1.weight
        features.transition1.conv.weight features.denseblock2.denselayer1.conv1.weight
        features.denseblock2.denselayer2.conv1.weight features.norm5.weight
        classifier.weight classifier.bias
        """,
    ),
    "timm, MobileNetV3: both convolution and classifier are the head": (
        ".",
        """
        conv_stem.weight bn1.weight
        blocks.0.0.conv.weight blocks.0.0.bn1.weight
        blocks.1.0.conv.weight blocks.1.0.bn1.weight
        conv_head.weight conv_head.bias classifier.weight
        """,
    ),
    "Keras, a norm before all layers": (
        "/",
        """
        batch_normalization/gamma dense/kernel
        head/kernel
        """,
    ),
    "Flax, heads in a list": (
        "/",
        """
        Dense_0/kernel LayerNorm_0/scale
        heads/0/Dense_0/kernel heads/1/Dense_0/kernel
        """,
    ),
    "numbers and biases of a container are its last layer's": (
        ".",
        """
        body.first.weight
        body.second.weight body.log_temp body.bias
        head.weight logit_scale
        """,
    ),
    "a model's own name is no layer's": (
        "/",
        """
        sentence_embedding/conv/kernel
        sentence_embedding/dense/kernel
        """,
    ),
    "embeddings that come later are levels of their own": (
        "/",
        """
        conv/kernel
        class_embedding/embeddings
        head/kernel
        """,
    ),
}


@pytest.mark.parametrize("model", MODELS)
def test_levels_of_well_known_models(model):
    separator, text = MODELS[model]
    expected = [tuple(line.split()) for line in text.strip().splitlines()]
    names = [name for level in expected for name in level]
    assert list(levels_from_names(names, separator)) == expected


def test_what_a_framework_knows_of_layers_counts():
    names = ["table.w", "mix.w", "mean.w", "out.a.w", "out.b.w", "gain"]
    found = levels_from_names(
        names, ".", norms={"mean"}, parallel={"out"}, scalars={"gain"}, embeddings={"table"}
    )
    assert found == (("table.w",), ("mix.w", "mean.w"), ("out.a.w", "out.b.w", "gain"))
    assert len(levels_from_names(names, ".")) == 6


def test_blocks_that_are_mixed_in_the_names_are_still_one_level_each():
    names = ["block_0/a/k", "block_1/a/k", "block_0/b/k"]
    assert levels_from_names(names) == (("block_0/a/k", "block_0/b/k"), ("block_1/a/k",))


def test_no_names_are_no_levels():
    assert levels_from_names([]) == ()


def test_blocks_joined_by_name():
    names = [
        "conv/k",
        "conv_bn/gamma",
        "expanded_conv_depthwise/k",
        "expanded_conv_project/k",
        "expanded_conv_1_expand/k",
        "expanded_conv_1_squeeze_excite_conv/k",
        "expanded_conv_1_project/k",
        "expanded_conv_2_expand/k",
        "expanded_conv_2_depthwise/k",
        "expanded_conv_2_project/k",
        "conv_1/k",
        "head/k",
    ]
    levels = blocks_joined([[name] for name in names])
    assert [level[0] for level in levels] == [
        "conv/k",
        "conv_bn/gamma",
        "expanded_conv_depthwise/k",
        "expanded_conv_1_expand/k",
        "expanded_conv_2_expand/k",
        "conv_1/k",
        "head/k",
    ]
    stages = ["conv2_block1_1_conv/k", "conv2_block1_2_conv/k", "conv2_block2_1_conv/k", "fc/k"]
    assert [len(level) for level in blocks_joined([[name] for name in stages])] == [2, 1, 1]
    contained = ["layer1.0.conv1.w", "layer1.0.conv2.w", "layer1.1.conv1.w"]
    assert len(blocks_joined([contained[:2], contained[2:]], ".")) == 2


@given(names=st.lists(own.names, unique=True, max_size=15))
def test_every_name_is_in_exactly_one_level_and_the_order_is_that_of_first_appearance(names):
    levels = levels_from_names(names)
    flat = [name for level in levels for name in level]
    assert sorted(flat) == sorted(names)
    assert all(levels)
    firsts = [names.index(level[0]) for level in levels]
    assert firsts == sorted(firsts)
