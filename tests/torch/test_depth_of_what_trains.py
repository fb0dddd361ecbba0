"""Depth is the network's: what adds none, and what is one level though it has several parts."""

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import orthogonal, spectral_norm, weight_norm
from torch.optim.swa_utils import AveragedModel

from layerwise import discriminative, gradual_unfreezing, layer_decay
from layerwise.errors import MultiplierError, OptimizerError
from layerwise.torch import biases_and_norms, explain, layers_of, param_groups


class Student(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(nn.Linear(4, 4) for _ in range(3)))
        self.head = nn.Linear(4, 2)


class Pair(nn.Module):
    """A student, and something beside it, in an order."""

    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)


def frozen_copy(model: nn.Module) -> nn.Module:
    return copy.deepcopy(model).requires_grad_(False)


HALVES = layer_decay(0.5)


def rates(model: Any, rules: Any = HALVES, **options: Any) -> list[float]:
    groups = param_groups(model, rules, lr=1.0, **options)
    return [group["lr"] for group in groups]


def numbered(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers)


# -- copies -----------------------------------------------------------------------------------

ALONE = [0.125, 0.25, 0.5, 1.0]


def test_a_frozen_teacher_is_no_depth() -> None:
    student = Student()
    assert rates(Pair(student=student, teacher=frozen_copy(student))) == ALONE


def test_a_frozen_copy_is_no_depth_wherever_it_stands() -> None:
    student = Student()
    teacher = frozen_copy(student)
    alone = rates(student, discriminative(0.01))
    assert rates(Pair(teacher=teacher, student=student), discriminative(0.01)) == alone
    between = Pair(online=student, target=teacher, predictor=nn.Linear(2, 2))
    assert rates(between) == [value / 2 for value in ALONE] + [1.0]
    wrapped = Pair(ema=Pair(module=teacher), student=student)
    assert rates(wrapped, discriminative(0.01)) == alone


def test_a_copy_of_a_part_is_no_depth() -> None:
    model = Pair(encoder=Pair(blocks=Student().blocks), head=nn.Linear(4, 2))
    model.add_module("key_encoder", frozen_copy(model.encoder))
    assert rates(model) == ALONE
    plan = explain(model, layer_decay(0.5))
    assert [row.frozen for row in plan.rows] == [False] * 8 + [True] * 6
    assert {row.rule for row in plan.rows[8:]} == {None}


def test_frozen_layers_of_the_network_itself_keep_their_depth() -> None:
    model = Student()
    model.blocks[:2].requires_grad_(False)
    assert rates(model) == [0.5, 1.0]
    assert rates(model, discriminative(0.125)) == pytest.approx([0.5, 1.0])


def test_what_is_frozen_above_the_last_layer_that_trains_is_no_depth() -> None:
    model = Student()
    model.head.requires_grad_(False)
    assert rates(model) == [0.25, 0.5, 1.0]
    critic = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)).requires_grad_(False)
    assert rates(Pair(generator=Student(), critic=critic)) == ALONE
    unfreezing = explain(Pair(student=Student(), loss=critic), gradual_unfreezing(5))
    assert unfreezing.multipliers(0)[:8].tolist() == [0.0] * 6 + [1.0] * 2
    assert len(layers_of(Student().requires_grad_(False))) == 4  # nothing trains: all of it


@pytest.mark.parametrize("first", [True, False])
def test_an_averaged_model_trains_nothing(first: bool) -> None:
    student = Student()
    average = AveragedModel(student)
    assert all(parameter.requires_grad for parameter in average.parameters())
    model = Pair(ema=average, student=student) if first else Pair(student=student, ema=average)
    groups = param_groups(model, layer_decay(0.5), lr=1.0)
    assert [group["lr"] for group in groups] == ALONE
    assert {id(p) for group in groups for p in group["params"]} == set(
        map(id, student.parameters())
    )
    assert [row.frozen for row in explain(model).rows].count(True) == 8
    optimizer = torch.optim.SGD(groups)
    before = [parameter.clone() for parameter in average.parameters()]
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    assert all(map(torch.equal, before, average.parameters()))


def test_an_averaged_model_can_not_be_trained_itself() -> None:
    with pytest.raises(OptimizerError, match=r"AveragedModel.*Pass the model that it averages"):
        param_groups(AveragedModel(Student()), lr=1.0)


# -- layers of several parts ------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize(
    "parametrized",
    [
        weight_norm,
        lambda layer: weight_norm(layer, dim=None),
        spectral_norm,
        orthogonal,
        lambda layer: weight_norm(spectral_norm(layer)),
        lambda layer: weight_norm(weight_norm(layer), "bias", dim=None),
        lambda _: weight_norm(nn.LSTM(4, 4), "weight_hh_l0"),
        nn.utils.weight_norm,
        nn.utils.spectral_norm,
    ],
    ids=[
        "weight",
        "whole",
        "spectral",
        "orthogonal",
        "both",
        "twice",
        "LSTM",
        "old",
        "old spectral",
    ],
)
def test_a_parametrized_layer_is_one_level(parametrized: Any) -> None:
    model = Pair(stem=nn.Linear(4, 4), body=parametrized(nn.Linear(4, 4)), head=nn.Linear(4, 2))
    assert sorted(set(rates(model))) == [0.25, 0.5, 1.0]
    level = layers_of(model)[1]
    assert set(level) == {name for name, _ in model.named_parameters() if name.startswith("body")}


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize(
    ("make", "spared"),
    [
        (lambda: weight_norm(nn.Linear(4, 3)), "parametrizations.weight.original0 bias"),
        (lambda: weight_norm(nn.Conv2d(2, 3, 3), dim=1), "parametrizations.weight.original0 bias"),
        (lambda: nn.utils.weight_norm(nn.Conv1d(2, 3, 3)), "weight_g bias"),
        (lambda: spectral_norm(nn.Linear(4, 3)), "bias"),
        (lambda: orthogonal(nn.Linear(4, 3)), "bias"),
        (
            lambda: weight_norm(nn.LSTM(2, 3), "weight_hh_l0"),
            "bias_ih_l0 bias_hh_l0 parametrizations.weight_hh_l0.original0",
        ),
    ],
    ids=["linear", "convolution", "old", "spectral", "orthogonal", "recurrent"],
)
def test_the_gain_takes_no_weight_decay(make: Any, spared: str) -> None:
    layer = make()
    found = {name for name, p in layer.named_parameters() if biases_and_norms(name, p)}
    assert found == set(spared.split())
    groups = param_groups(layer, lr=1.0, weight_decay=0.1, no_decay=biases_and_norms)
    assert sorted(group["weight_decay"] for group in groups) == [0.0, 0.1]


def test_a_norm_belongs_to_the_layer_before_it() -> None:
    class RootMeanSquareNorm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.ones(4))

    model = numbered(
        nn.BatchNorm1d(4),  # nothing is before it
        nn.Linear(4, 4),
        nn.LayerNorm((4,)),
        nn.PReLU(),
        nn.Linear(4, 4),
        RootMeanSquareNorm(),
        nn.Linear(4, 2),
    )
    levels = [{name.split(".")[0] for name in level} for level in layers_of(model)]
    assert levels == [{"0", "1", "2", "3"}, {"4", "5"}, {"6"}]
    assert len(rates(model, no_decay=biases_and_norms, weight_decay=0.1)) == 6
    names_alone = {k: p for k, p in model.named_parameters() if not k.startswith("5")}
    assert len(layers_of(names_alone)) == 3


def test_a_scale_of_ones_own_is_a_layer() -> None:
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4))

    assert rates(numbered(Scale(), Scale(), Scale())) == [0.25, 0.5, 1.0]


# -- heads ------------------------------------------------------------------------------------


def heads(kind: type[nn.Module], *members: nn.Module) -> nn.Module:
    named = {f"task_{i}": member for i, member in enumerate(members)}
    return kind(named) if kind is nn.ModuleDict else kind(list(members))


@pytest.mark.parametrize("kind", [nn.ModuleList, nn.ModuleDict])
def test_parallel_heads_are_one_level(kind: type[nn.Module]) -> None:
    body = Pair(a=nn.Linear(4, 4), b=nn.Linear(4, 4))
    flat = heads(kind, nn.Linear(4, 2), nn.Linear(4, 4), nn.Linear(4, 3))
    assert rates(Pair(body=body, heads=flat)) == [0.25, 0.5, 1.0]
    assert rates(Pair(body=body, classifiers=heads(kind, *[nn.Linear(4, 4)] * 2))) == [0.25, 0.5, 1]
    deep = heads(kind, nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)), nn.Linear(4, 2))
    assert rates(Pair(body=body, task_heads=deep)) == [0.125, 0.25, 0.5, 1.0]


def test_a_list_that_is_no_chain_lies_side_by_side() -> None:
    body = nn.Linear(4, 4)
    fanned = nn.ModuleList([nn.Linear(4, 3), nn.Linear(4, 3), nn.Linear(4, 2)])
    assert rates(Pair(body=body, outputs=fanned)) == [0.5, 1.0]
    normed = nn.ModuleList([weight_norm(nn.Conv1d(4, 6, size)) for size in (1, 2, 3)])
    assert rates(Pair(body=body, outputs=normed)) == [0.5, 1.0]
    chain = nn.ModuleList([nn.Linear(4, 3), nn.Linear(3, 4), nn.Linear(4, 2)])
    assert rates(Pair(body=body, outputs=chain)) == [0.125, 0.25, 0.5, 1.0]
    sequence = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    assert rates(Pair(body=body, head=sequence)) == [0.25, 0.5, 1.0]


def test_blocks_are_a_chain_whatever_they_register_last() -> None:
    def block() -> nn.Module:
        return Pair(up=nn.Linear(4, 8), down=nn.Linear(8, 4), gate=nn.Linear(4, 1))

    blocks = nn.ModuleList([block() for _ in range(3)])
    model = Pair(embed=nn.Embedding(5, 4), layers=blocks, head=nn.Linear(4, 2))
    assert rates(model) == [0.0625, 0.125, 0.25, 0.5, 1.0]
    wrapped = nn.ModuleList([nn.Sequential(block()) for _ in range(3)])
    assert rates(Pair(stem=nn.Linear(4, 4), layers=wrapped, head=nn.Linear(4, 2))) == [
        *(0.0625, 0.125, 0.25, 0.5, 1.0)
    ]


def test_heads_beside_each_other_by_name() -> None:
    model = Pair(body=nn.Linear(4, 4), head=nn.Linear(4, 2), head_dist=nn.Linear(4, 2))
    assert rates(model) == [0.5, 1.0]
    model = Pair(body=nn.Linear(4, 4), pre_classifier=nn.Linear(4, 4), classifier=nn.Linear(4, 2))
    assert rates(model) == [0.25, 0.5, 1.0]


def test_a_bare_projection_is_at_the_output() -> None:
    model = Student()
    model.blocks.proj = nn.Parameter(torch.ones(4, 4))
    model.text_projection = nn.Parameter(torch.ones(2, 2))
    levels = layers_of(model)
    assert [len(level) for level in levels] == [2, 2, 3, 3]
    assert (levels[2][-1], levels[3][-1]) == ("blocks.proj", "text_projection")


def test_numbers_at_the_top_take_the_heads_multiplier() -> None:
    model = Student()
    model.logit_scale = nn.Parameter(torch.ones(()))
    model.log_sigma = nn.Parameter(torch.zeros(3))
    model.anything = nn.Parameter(torch.ones(1))
    model.cls_token = nn.Parameter(torch.zeros(1, 4))
    loss = Pair(weights=nn.ParameterDict({"log_sigma": nn.Parameter(torch.zeros(2))}))
    assert rates(Pair(model=Student(), loss=loss)) == ALONE
    outer = Pair(model=model, metric=nn.Linear(2, 2).requires_grad_(False))
    for whole, prefix in ((model, ""), (outer, "model.")):
        plan = explain(whole, layer_decay(0.5))
        found = dict(zip(plan.to_dict()["parameter"], plan.multipliers(0).tolist(), strict=True))
        for name in ("logit_scale", "log_sigma", "anything", "head.weight"):
            assert found[prefix + name] == 1.0
        assert found[f"{prefix}cls_token"] == 0.5**4


# -- a part of a model ------------------------------------------------------------------------


def language_model() -> nn.Module:
    blocks = nn.Sequential(*(nn.Linear(4, 4) for _ in range(3)))
    return Pair(embed=nn.Embedding(9, 4), blocks=blocks, head=nn.Linear(4, 9))


def test_a_part_has_the_depth_that_it_has_in_the_whole() -> None:
    model = language_model()
    whole = layers_of(model)
    matrices = [(n, p) for n, p in model.named_parameters() if p.ndim == 2 and "blocks" in n]
    others = [(n, p) for n, p in model.named_parameters() if p.ndim != 2 or "blocks" not in n]
    assert rates(matrices, layers=whole) == [0.125, 0.25, 0.5]
    assert rates(others, layers=whole) == [0.0625, 0.125, 0.25, 0.5, 1.0]
    assert rates(matrices, layer_decay(0.5, layers=whole)) == [0.125, 0.25, 0.5]
    assert rates(dict(matrices), layers=whole) == [0.125, 0.25, 0.5]


def test_a_part_without_the_top_unfreezes_when_it_would_in_the_whole() -> None:
    model = language_model()
    part = [(name, p) for name, p in model.named_parameters() if "blocks" in name]
    plan = explain(part, gradual_unfreezing(10), layers=layers_of(model))
    assert [plan.multipliers(step).tolist().count(1.0) for step in (9, 10, 20, 30)] == [0, 2, 4, 6]


def test_what_is_in_no_level_of_the_whole_is_an_error() -> None:
    other = Pair(body=nn.Linear(4, 4), head=nn.Linear(4, 9))
    with pytest.raises(MultiplierError, match=r"2 parameters are in no level.*'body\.weight'"):
        param_groups(other, layer_decay(0.5), lr=1.0, layers=layers_of(language_model()))


def test_by_is_layer_or_block() -> None:
    with pytest.raises(MultiplierError, match="by must be one of 'layer', 'block', got 'stage'"):
        layers_of(Student(), by="stage")
