"""width_scaling and lora_plus in PyTorch, against one optimizer for each rate and real PEFT."""

import peft
import pytest
import torch
from peft.optimizers import create_loraplus_optimizer
from torch import nn

from layerwise import MultiplierError, UnmatchedRuleError, lora_plus, width_scaling
from layerwise.schedules import cosine
from layerwise.torch import ScheduleLR, check_width_scaling, explain, param_groups


class Net(nn.Module):
    """An embedding, a transposed and a depthwise convolution, dense layers; or its parts."""

    def __init__(self, width):
        super().__init__()
        self.tokens = nn.Embedding(11, width)
        self.deconv = nn.ConvTranspose1d(width, 2 * width, 3)
        self.depthwise = nn.Conv1d(2 * width, 2 * width, 3, groups=2 * width)
        self.norm = nn.LayerNorm(2 * width)
        self.head = nn.Linear(2 * width, 5)
        nn.init.zeros_(self.head.weight)

    def forward(self, codes):
        found = self.depthwise(self.deconv(self.tokens(codes).mT)).mT
        return self.head(self.norm(torch.relu(found)).mean(1))


ADAM = {
    "tokens.weight": 1,
    "deconv.weight": 1 / 4,
    "deconv.bias": 1,
    "depthwise.weight": 1,
    "depthwise.bias": 1,
    "norm.weight": 1,
    "norm.bias": 1,
    "head.weight": 1 / 4,
    "head.bias": 1,
}
SGD = dict.fromkeys(ADAM, 4) | {"deconv.weight": 1, "head.weight": 1 / 4, "head.bias": 1}


def test_the_modules_say_what_leads_in_and_out():
    for family, expected in (("adam", ADAM), ("sgd", SGD)):
        plan = explain(Net(32), width_scaling(Net(8), optimizer=family))
        assert {row.parameter.name: row.value for row in plan.rows} == expected


def test_an_unequal_transposed_convolution_counts_what_leads_in():
    small, wide = (nn.Sequential(nn.ConvTranspose1d(*size, 3)) for size in ((4, 8), (8, 32)))
    assert explain(wide, width_scaling(small, optimizer="adam")).rows[0].value == 0.5
    assert explain(wide, width_scaling(small, optimizer="sgd")).rows[0].value == 2.0


@pytest.mark.parametrize(
    ("make", "family", "expected"),
    [
        (torch.optim.AdamW, "adam", ADAM),
        (lambda groups: torch.optim.SGD(groups, momentum=0.9), "sgd", SGD),
    ],
)
def test_training_equals_one_optimizer_for_each_rate(make, family, expected):
    torch.manual_seed(0)
    model = Net(32)
    twin = Net(32)
    twin.load_state_dict(model.state_dict())
    rules = width_scaling(Net(8), optimizer=family)
    optimizer = make(param_groups(model, rules, lr=1e-2))
    scheduler = ScheduleLR(optimizer, cosine(10))
    others = [
        make([{"params": [p], "lr": 1e-2 * expected[name]}]) for name, p in twin.named_parameters()
    ]
    schedulers = [ScheduleLR(other, cosine(10)) for other in others]
    for step in range(4):
        codes = torch.randint(11, (6, 7), generator=torch.Generator().manual_seed(step))
        for each, optimizers in ((model, [optimizer]), (twin, others)):
            loss = nn.functional.cross_entropy(each(codes), codes[:, 0] % 5)
            each.zero_grad()
            loss.backward()
            for one in optimizers:
                one.step()
        for one in (scheduler, *schedulers):
            one.step()
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_optimizer_must_be_said_where_it_is_not_made_yet():
    with pytest.raises(MultiplierError, match=r'optimizer="adam"'):
        param_groups(Net(32), width_scaling(Net(8)), lr=1e-3)


def test_an_output_that_starts_as_usual_is_told_with_a_line_that_mends_it():
    def make(width):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(9, width), nn.ReLU(), nn.Linear(width, 64))

    model, rules = make(512), width_scaling(make(64), optimizer="adam")
    with pytest.warns(UserWarning, match="Before training, once: with torch.no_grad") as warned:
        param_groups(model, rules, lr=1e-3)
    before = model[2].weight.clone()
    line = str(warned[0].message).partition("Before training, once: ")[2]
    exec(line, {"torch": torch, "model": model})
    torch.testing.assert_close(model[2].weight, before * 8**-0.5, rtol=1e-3, atol=0)
    assert explain(model, rules).notes == ()  # and no warning, which would be an error


def test_a_tied_embedding_is_scaled_as_input_and_told():
    def make(width):
        model = nn.Sequential(nn.Embedding(11, width), nn.Linear(width, 11, bias=False))
        model[1].weight = model[0].weight
        return model

    with pytest.warns(UserWarning, match="0.weight is an input weight and, as 1.weight"):
        plan = explain(make(32), width_scaling(make(8), optimizer="adam"))
    assert plan.multipliers(0).tolist() == [1.0]


def test_a_wrapped_model_and_named_parameters_are_known():
    base = torch.compile(Net(8), backend="eager")
    plan = explain(torch.compile(Net(32), backend="eager"), width_scaling(base, optimizer="adam"))
    assert plan.multipliers(0).tolist() == list(ADAM.values())
    pairs = dict(nn.Sequential(nn.Linear(3, 8)).named_parameters())
    plan = explain(nn.Sequential(nn.Linear(3, 32)), width_scaling(pairs, optimizer="sgd"))
    assert plan.multipliers(0).tolist() == [4.0, 4.0]


# -- check_width_scaling ------------------------------------------------------------------------


def perceptron(width):
    model = nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
    model.append(nn.Linear(width, 1))
    nn.init.zeros_(model[-1].weight)
    return model


def batch():
    x = torch.randn(32, 8, generator=torch.Generator().manual_seed(0))
    return x, x[:, :1]


@pytest.mark.parametrize(
    "optimizer", [torch.optim.Adam, lambda groups: torch.optim.SGD(groups, momentum=0.9)]
)
def test_changes_do_not_depend_on_the_width_with_it_and_do_without(optimizer):
    arguments = (perceptron, [64, 256, 1024], *batch(), nn.functional.mse_loss)
    options = {"optimizer": optimizer, "learning_rate": 3e-3, "steps": 3}
    state = torch.get_rng_state()
    with_it = check_width_scaling(*arguments, **options)
    assert torch.equal(torch.get_rng_state(), state)
    assert with_it.passes, with_it.verdict
    assert with_it.layers == ("0", "2", "4")
    without = check_width_scaling(*arguments, **options, rules={})
    assert not without.passes
    assert without.change_growth["4"] > 0.5
    assert check_width_scaling(*arguments, **options) == with_it


def test_a_layer_that_starts_smaller_in_a_wider_model_is_told():
    def make(width):
        model = perceptron(width)
        nn.init.xavier_uniform_(model[0].weight)  # Keras' usual start
        nn.init.zeros_(model[0].bias)
        return model

    check = check_width_scaling(make, [64, 256, 1024], *batch(), nn.functional.mse_loss)
    assert not check.passes
    assert "activations vanish with the width in 0 (as width^-0.4" in check.verdict


def test_the_sizes_are_those_of_a_loop_by_hand():
    x, y = batch()
    check = check_width_scaling(
        perceptron, [16, 32], x, y, nn.functional.mse_loss, rules={}, steps=2, repeats=1
    )
    for place, width in enumerate((16, 32)):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = perceptron(width)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        outputs = []
        for _ in range(3):
            optimizer.zero_grad()
            out = model(x)
            outputs.append(out.detach().double())
            nn.functional.mse_loss(out, y).backward()
            optimizer.step()
        expected = [float((out - outputs[0]).square().mean().sqrt()) for out in outputs]
        assert check.changes[2][place] == pytest.approx(expected, rel=1e-12)


def test_dropout_is_no_change_and_several_inputs_are_passed_on():
    class Two(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.a = nn.Linear(8, width)
            self.head = nn.Linear(width, 1)

        def forward(self, x, scale):
            return self.head(nn.functional.dropout(self.a(x), 0.5)) * scale

    x, y = batch()
    for inputs in ((x, torch.ones(1)), {"x": x, "scale": torch.ones(1)}):
        check = check_width_scaling(
            Two, [16, 32], inputs, y, nn.functional.mse_loss, learning_rate=0.0, rules={}, steps=1
        )
        assert set(check.changes) == {((0.0, 0.0), (0.0, 0.0))}


def test_what_is_no_model_and_an_unknown_optimizer_are_refused():
    with pytest.raises(MultiplierError, match="make_model must return a model"):
        check_width_scaling(lambda width: width, [8, 16], *batch(), nn.functional.mse_loss)

    class Own(torch.optim.Optimizer):
        def __init__(self, groups):
            super().__init__(groups, {"lr": 0.1})

    with pytest.raises(MultiplierError, match=r'optimizer="adam"'):
        check_width_scaling(perceptron, [8, 16], *batch(), nn.functional.mse_loss, optimizer=Own)


# -- lora_plus ----------------------------------------------------------------------------------


class Language(nn.Module):
    """An embedding and two dense layers, for PEFT to adapt."""

    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(11, 8)
        self.query = nn.Linear(8, 8)
        self.head = nn.Linear(8, 11)

    def forward(self, codes):
        return self.head(torch.tanh(self.query(self.tokens(codes))))


def adapted(**options):
    torch.manual_seed(0)
    config = peft.LoraConfig(r=2, target_modules=["tokens", "query"], **options)
    return peft.get_peft_model(Language(), config)


def test_the_rates_are_those_of_pefts_own_optimizer():
    model = adapted()
    theirs = create_loraplus_optimizer(
        model, torch.optim.AdamW, lr=1e-3, loraplus_lr_ratio=16, loraplus_lr_embedding=1e-3
    )
    rates = {id(p): group["lr"] for group in theirs.param_groups for p in group["params"]}
    groups = param_groups(model, lora_plus(16), lr=1e-3)
    ours = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert set(ours) == set(rates)
    for name, p in model.named_parameters():
        if p.requires_grad and "embedding" not in name:  # PEFT has one rate for both there
            assert ours[id(p)] == rates[id(p)]
    embedding = {n: p for n, p in model.named_parameters() if "lora_embedding" in n}
    assert [ours[id(p)] for p in embedding.values()] == [1e-3, 16e-3]


@pytest.mark.parametrize("use_dora", [False, True])
def test_training_peft_equals_one_optimizer_for_each_rate(use_dora):
    model, twin = adapted(use_dora=use_dora), adapted(use_dora=use_dora)
    optimizer = torch.optim.AdamW(param_groups(model, [lora_plus(8)], lr=1e-2))
    others = [
        torch.optim.AdamW([p], lr=1e-2 * (8 if "lora_B" in n or "embedding_B" in n else 1))
        for n, p in twin.named_parameters()
        if p.requires_grad
    ]
    for step in range(3):
        codes = torch.randint(11, (4, 5), generator=torch.Generator().manual_seed(step))
        for each, optimizers in ((model, [optimizer]), (twin, others)):
            each.zero_grad()
            nn.functional.cross_entropy(each(codes).flatten(0, 1), codes.flatten()).backward()
            for one in optimizers:
                one.step()
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_model_without_lora_is_an_error():
    with pytest.raises(UnmatchedRuleError, match="get_peft_model"):
        param_groups(Language(), lora_plus(), lr=1e-3)
