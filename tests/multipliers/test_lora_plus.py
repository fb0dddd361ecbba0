"""lora_plus: the factors of a low-rank adapter by the names that libraries give them."""

import json

import pytest

from layerwise import MultiplierError, UnmatchedRuleError, cosine, lora_plus
from layerwise.multipliers import Parameter, resolve, rules_from_config, rules_to_config

NAMES = {
    "base_model.model.q.lora_A.default.weight": 1,
    "base_model.model.q.lora_B.default.weight": 16,
    "base_model.model.e.lora_embedding_A.default": 1,
    "base_model.model.e.lora_embedding_B.default": 16,
    "q.lora_A": 1,
    "q.lora_B": 16,
    "q.lora_down.weight": 1,
    "q.lora_up.weight": 16,
    "dense.lora_kernel_a": 1,
    "dense.lora_kernel_b": 16,
    "embedding.lora_embeddings_b": 16,
    "layer.lora.lora_b": 16,
    "q.lora_magnitude_vector.default.weight": 1,
    "explorab.weight": 1,
    "flora_b.bias": 1,
    "lora_beta": 1,
    "head.weight": 1,
}


def test_b_is_known_by_the_names_of_all_libraries():
    plan = resolve(map(Parameter, NAMES), lora_plus(), separator=".")
    found = {row.parameter.name: row.value for row in plan.rows}
    assert found == NAMES


def test_a_model_without_lora_is_an_error():
    names = ["dense/kernel", "q/lora_a"]
    with pytest.raises(UnmatchedRuleError, match=r"finds no factor B.*get_peft_model"):
        resolve(map(Parameter, names), lora_plus())
    assert resolve(map(Parameter, names), lora_plus(), strict=False).multipliers(0).tolist() == [
        1,
        1,
    ]
    frozen = [Parameter("q/lora_b", trainable=False), Parameter("dense/kernel")]
    with pytest.raises(UnmatchedRuleError, match="that train"):
        resolve(frozen, lora_plus())


@pytest.mark.parametrize("ratio", [0, -1, float("nan"), float("inf"), "16", None])
def test_the_ratio_must_be_above_0(ratio):
    with pytest.raises(MultiplierError, match="lora_plus: ratio must"):
        lora_plus(ratio)


def test_it_composes_and_has_a_config():
    rules = [lora_plus(8), {"q/lora_a": cosine(10)}]
    plan = resolve(map(Parameter, ["q/lora_a", "q/lora_b"]), rules)
    assert plan.multipliers(10).tolist() == [0.0, 8.0]
    assert plan.rows[1].rule == "lora_plus(8): B"
    again = rules_from_config(json.loads(json.dumps(rules_to_config(lora_plus(8)))))
    assert again == lora_plus(8)
