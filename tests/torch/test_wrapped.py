"""What wrappers put into names may be left out of keys, and does not change any rate."""

from typing import Any

import pytest
import torch
from torch import nn

from layerwise import layer_decay
from layerwise.errors import OptimizerError
from layerwise.torch import explain, layers_of, param_groups
from tests._support.torch.networks import ViT, make_network

# PyTorch's compiler warns about a module of its own when it is first imported.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script_method`:DeprecationWarning")


class Wrapper(nn.Module):
    """As DistributedDataParallel and FSDP hold a model: under a name of their own."""

    def __init__(self, name: str, model: nn.Module) -> None:
        super().__init__()
        self.add_module(name, model)


def compiled_blocks(model: Any) -> Any:
    """Each block compiled, and the whole then, too: names with two wrappers inside."""
    for place, block in enumerate(model.blocks):
        model.blocks[place] = torch.compile(block)
    return torch.compile(model)


def parallel(model: Any) -> Any:
    return Wrapper("module", model)


def fsdp(model: Any) -> Any:
    """The names of FSDP with use_orig_params=True, block by block."""
    for place, block in enumerate(model.blocks):
        model.blocks[place] = Wrapper("_fsdp_wrapped_module", block)
    return Wrapper("_fsdp_wrapped_module", model)


WRAPPED = {
    "compile": torch.compile,
    "compiled blocks": compiled_blocks,
    "parallel": parallel,
    "compile of parallel": lambda model: torch.compile(parallel(model)),
    "fsdp": fsdp,
}
RULES = {"blocks.1": 0.5, "blocks.1.attn": 0.25, "cls_token": 0, "head.weight": 2}


def settings(groups: Any, tensors: list[Any]) -> list[Any]:
    """Each parameter's group, by the place of the parameter in the model."""
    place = {id(tensor): i for i, tensor in enumerate(tensors)}
    return [
        (group["name"], group["lr"], sorted(place[id(tensor)] for tensor in group["params"]))
        for group in groups
    ]


@pytest.mark.parametrize("wrap", WRAPPED)
@pytest.mark.parametrize("rules", [RULES, layer_decay(0.5), [layer_decay(0.5), RULES]], ids=str)
def test_rules_mean_the_same_on_a_wrapped_model(wrap: str, rules: Any) -> None:
    model = ViT()
    tensors = list(model.parameters())
    options: dict[str, Any] = {"lr": 1.0, "weight_decay": 0.1, "no_decay": ["pos_embed", "norm"]}
    expected = settings(param_groups(model, rules, **options), tensors)
    levels = layers_of(model)
    wrapped = WRAPPED[wrap](model)
    assert settings(param_groups(wrapped, rules, **options), tensors) == expected
    assert layers_of(wrapped) == levels


def test_full_names_are_taken_as_well() -> None:
    model = torch.compile(parallel(make_network()))
    rules = {"_orig_mod.module.head": 0.5, "backbone": 0.1}
    plan = explain(model, rules)
    assert [row.rule for row in plan.rows] == ["backbone"] * 6 + ["_orig_mod.module.head"] * 2
    assert plan.rows[0].parameter.name == "_orig_mod.module.backbone.0.weight"


@pytest.mark.parametrize("key", ["body.1", "tail", "body._orig_mod.1", "body"])
@pytest.mark.parametrize("first", ["body", "tail"])
def test_a_tied_parameter_within_a_wrapper(key: str, first: str) -> None:
    body = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    parts = {"body": torch.compile(body), "tail": nn.Linear(3, 3)}
    parts["tail"].weight = body[1].weight
    model = nn.ModuleDict(parts if first == "body" else dict(reversed(parts.items())))
    plan = explain(model, {key: 0.5})
    assert len(plan.rows) == 5
    (shared,) = (row for row in plan.rows if row.parameter.aliases)
    assert shared.parameter.name.startswith(first)
    assert shared.value == 0.5


def test_a_module_of_ones_own_that_is_called_module() -> None:
    model = nn.ModuleDict({"module": nn.Linear(2, 2), "other": nn.Linear(2, 2)})
    assert [row.value for row in explain(model, {"module": 0.5}).rows] == [0.5, 0.5, 1.0, 1.0]
    assert [group["name"] for group in param_groups(model, {"module": 0.5}, lr=1.0)] == [
        "module",
        "default",
    ]


def test_flattened_parameters() -> None:
    """Of the older FSDP; a real one is in test_distributed.py."""
    flat = nn.Module()
    flat.register_parameter("_flat_param", nn.Parameter(torch.ones(100)))
    model = Wrapper("_fsdp_wrapped_module", flat)
    with pytest.raises(OptimizerError, match=r"_flat_param'.*fully_shard.*use_orig_params=True"):
        param_groups(model, {"head": 0.5}, lr=1.0)


class Named(nn.Module):
    """A model of which a part is called as wrappers call theirs, beside one of the same name."""

    def __init__(self) -> None:
        super().__init__()
        self.module = nn.ModuleDict({"emb": nn.Linear(4, 4), "fc": nn.Linear(4, 4)})
        self.fc = nn.Linear(4, 2)


def test_a_part_that_is_called_as_a_wrapper_keeps_its_name() -> None:
    plan = param_groups(Named(), layer_decay(0.5), lr=1.0).plan
    multipliers = {row.parameter.name: row.value for row in plan.rows}
    assert multipliers == {
        "module.emb.weight": 0.25,
        "module.emb.bias": 0.25,
        "module.fc.weight": 0.5,
        "module.fc.bias": 0.5,
        "fc.weight": 1.0,
        "fc.bias": 1.0,
    }
    wrapped = param_groups(parallel(Named()), layer_decay(0.5), lr=1.0).plan
    assert [row.value for row in wrapped.rows] == list(multipliers.values())
