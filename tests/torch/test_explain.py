"""explain: the plan of rules, and of an optimizer's groups however they were made."""

from typing import Any

import pytest
import torch

from layerwise import cosine, layer_decay, linear
from layerwise.torch import ScheduleLR, biases_and_norms, explain, param_groups
from tests._support.torch.networks import make_network


def test_rules_with_a_base_rate_and_a_schedule() -> None:
    model = make_network()
    model.head.bias.requires_grad_(False)
    plan = explain(
        model,
        {"backbone": 0.1, "backbone.3": linear(10)},
        learning_rate=0.5,
        weight_decay=0.2,
        no_decay=biases_and_norms,
        schedule=cosine(10),
        steps=[5],
    )
    table = plan.to_dict()
    assert table["parameter"] == [name for name, _ in model.named_parameters()]
    assert table["rule"] == ["backbone"] * 4 + ["backbone.3"] * 2 + [None] * 2
    assert table["rate @ 0"] == [0.5 * 0.1] * 4 + [0.5] * 3 + [0.0]
    assert table["rate @ 5"] == pytest.approx([0.025] * 4 + [0.125] * 2 + [0.25, 0.0])
    assert table["weight decay"] == [0.2, 0.0, 0.0, 0.0, 0.2, 0.0, 0.2, 0.0]
    assert table["frozen"] == [False] * 7 + [True]
    assert "backbone.3.weight" in str(plan)


def test_without_a_rate_the_multipliers_are_shown() -> None:
    plan = explain(make_network(), layer_decay(0.5), steps=[7])
    assert plan.to_dict()["multiplier @ 7"] == [0.25] * 4 + [0.5] * 2 + [1.0] * 2


def test_it_is_the_plan_that_the_groups_are_made_by() -> None:
    model, rules = make_network(), {"head": 0.5}
    options: dict[str, Any] = {"weight_decay": 0.3, "no_decay": "bias"}
    options["match"] = "substring"
    made = param_groups(model, rules, lr=0.1, **options)
    assert explain(model, rules, learning_rate=0.1, **options) == made.plan


def test_without_rules_the_parameters_are_listed() -> None:
    model = make_network()
    table = explain(model).to_dict()
    assert table["parameter"] == [name for name, _ in model.named_parameters()]
    assert set(table["rule"]) == {None}
    assert set(table["multiplier"]) == {1.0}


def test_the_step_that_is_now() -> None:
    model = make_network()
    plan = explain(model, {"head": linear(10)}, learning_rate=0.5, step=5)
    assert plan.to_dict()["rate @ 5"] == [0.5] * 6 + [0.25] * 2
    optimizer = torch.optim.SGD(param_groups(model, {"head": linear(10)}, lr=0.5))
    assert explain(model, optimizer=optimizer, step=5).to_dict()["rate @ 5"][-1] == 0.25
    scheduler = ScheduleLR(optimizer, last_epoch=1)
    assert explain(model, schedule=scheduler).to_dict()["rate @ 2"][-1] == 0.4
    assert explain(model, schedule=scheduler, step=5).to_dict()["rate @ 5"][-1] == 0.25


def test_groups_made_by_hand() -> None:
    model = make_network()
    optimizer = torch.optim.SGD(
        [
            {"params": model.backbone[0].parameters(), "lr": 0.125, "weight_decay": 0.5},
            {"params": model.head.parameters(), "name": "the head"},
        ],
        lr=0.25,
    )
    plan = explain(model, optimizer=optimizer, schedule=linear(10), steps=[5])
    assert [row.rule for row in plan.rows] == [
        *["group 0"] * 2,
        *[None] * 4,
        *["the head"] * 2,
    ]
    assert [row.frozen for row in plan.rows] == [False] * 2 + [True] * 4 + [False] * 2
    assert plan.to_dict()["rate @ 5"] == [0.0625] * 2 + [0.0] * 4 + [0.125] * 2
    assert plan.rows[0].parameter.weight_decay == 0.5


def test_the_schedule_of_all_groups_is_that_of_the_plan() -> None:
    model = make_network()
    for schedule, head in ((linear(10), 0.5), ({"head": linear(10)}, "linear(10) * 0.5")):
        optimizer = torch.optim.SGD(param_groups(model, {"head": 0.5}, lr=0.1))
        plan = explain(model, schedule=ScheduleLR(optimizer, schedule))
        assert plan.to_dict()["multiplier"][-1] == head
        assert plan.schedule is (schedule if callable(schedule) else None)


@pytest.mark.parametrize("schedule", [linear(10), {"head": linear(10)}, None], ids=str)
def test_what_is_explained_is_what_happens(schedule: Any) -> None:
    model = make_network()
    rules = {
        "backbone": 0.5,
        "backbone.3": cosine(8, end=0.25),
        "head": lambda step: 1 / (1 + step),
    }
    optimizer = torch.optim.SGD(param_groups(model, rules, lr=0.1))
    scheduler = ScheduleLR(optimizer, schedule, last_epoch=1)
    names = {id(p): name for name, p in model.named_parameters()}
    plan = explain(model, schedule=scheduler, steps=range(3, 8))
    told = plan.to_dict()
    for step in range(2, 8):
        rates = {
            names[id(p)]: group["lr"] for group in optimizer.param_groups for p in group["params"]
        }
        shown = dict(zip(told["parameter"], told[f"rate @ {step}"], strict=True))
        assert shown == pytest.approx(rates, rel=1e-14)
        scheduler.step()
