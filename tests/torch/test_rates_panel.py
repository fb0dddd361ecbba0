"""The panel that find_rates is judged by: draws, trainings, methods, what is kept."""

from collections import Counter
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.rates._gradient_norms import relative_norms, train_by_norms
from benchmarks.rates._kept import Kept
from benchmarks.rates._ldog import LDoG
from benchmarks.rates._methods import BEST_TILT, HELD_OUT, ONE_RATE, rate_for, search_loader
from benchmarks.rates._oracle import oracle, rate_at, tilted
from benchmarks.rates._panel import PARTS, TASKS
from benchmarks.rates._report import methods_table, tasks_table
from benchmarks.rates._rows import Row, constant_loss, load, rows_of, save
from benchmarks.rates._task import Data, Examples, Task, levels_of
from benchmarks.rates._together import train_together
from benchmarks.rates._training import train
from layerwise import layer_decay


def data():
    random = torch.Generator().manual_seed(0)
    x = torch.randn(400, 6, generator=random)
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
    examples = Examples(x, y)
    return Data(examples.at(range(300)), examples.at(range(300, 400)))


def network():
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))


TASK = Task(
    "made-up",
    "from scratch",
    "tuned",
    data,
    network,
    batch_size=10,
    updates=25,
    rates=(-3.0, -1.0),
    rate_count=3,
    tilts=(0.0, 1.0, 3.0),
)


@pytest.fixture
def draw():
    return TASK.draw(1)


# -- the panel ---------------------------------------------------------------------------------


def test_both_halves_have_every_kind():
    kinds = {half: Counter(TASKS[name].kind for name in names) for half, names in PARTS.items()}
    assert len(kinds["tuned"]) == len(kinds["reported"]) == 5
    assert sum(kinds["tuned"].values()) >= sum(kinds["reported"].values()) >= 6
    assert sum(kinds["fresh"].values()) >= 4


def test_a_task_of_the_panel_draws_and_trains():
    draw = replace(TASKS["digits-scratch"], updates=5).draw(0)
    assert set(Counter(draw.train.y.tolist()).values()) == {20}
    assert not {tuple(x.flatten().tolist()) for x in draw.train.x} & {
        tuple(x.flatten().tolist()) for x in draw.test.x
    }
    assert 0 < train(draw, None, 1e-3).test_loss < 3


# -- draws -------------------------------------------------------------------------------------


def test_a_draw_has_as_many_of_each_class(draw):
    assert Counter(draw.train.y.tolist()) == {0: 10, 1: 10, 2: 10}


def test_much_data_is_the_whole_pool():
    assert len(replace(TASK, count=None).draw(0).train.y) == 300


def test_a_seed_gives_the_same_draw_and_another_one_another(draw):
    again, other = replace(TASK).draw(1), TASK.draw(2)
    assert torch.equal(again.train.x, draw.train.x)
    assert not torch.equal(other.train.x, draw.train.x)
    for parameter, same, different in zip(
        draw.model().parameters(),
        again.model().parameters(),
        other.model().parameters(),
        strict=True,
    ):
        assert torch.equal(parameter, same)
        assert not torch.equal(parameter, different)


def test_models_are_new_and_leave_the_random_state_alone(draw):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    first, second = draw.model(), draw.model()
    assert torch.equal(torch.rand(2), expected)
    with torch.no_grad():
        first[0].weight.zero_()
    assert second[0].weight.abs().sum() > 0


def test_batches_are_epochs_that_a_seed_repeats(draw):
    batches = draw.batches(0)
    assert len(batches) == 25
    assert [len(y) for _, y in batches] == [10] * 25
    first = torch.cat([x for x, _ in batches[:3]])
    assert sorted(map(tuple, first.tolist())) == sorted(map(tuple, draw.train.x.tolist()))
    again, other = draw.batches(0), draw.batches(1)
    assert all(torch.equal(one.x, two.x) for one, two in zip(batches, again, strict=True))
    assert not torch.equal(batches[0].x, other[0].x)


def test_many_levels_are_pooled_and_the_head_stays_alone():
    model = nn.Sequential(*(nn.Linear(3, 3) for _ in range(9)))
    levels = levels_of(model, 4)
    assert [len(level) for level in levels] == [6, 6, 4, 2]
    assert levels[-1] == ("8.weight", "8.bias")
    assert [name for level in levels for name in level] == list(dict(model.named_parameters()))


# -- trainings ---------------------------------------------------------------------------------


def test_a_training_is_a_loop_with_adam_and_a_cosine(draw):
    model = draw.model()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 25)
    for x, y in draw.batches(0):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        scheduler.step()
    expected = nn.functional.cross_entropy(model(draw.test.x), draw.test.y).item()
    right = (model(draw.test.x).argmax(1) == draw.test.y).float().mean()
    trained = train(draw, None, 0.01)
    assert trained.test_loss == pytest.approx(expected, rel=1e-4)
    assert trained.test_accuracy == pytest.approx(float(right))


def test_a_tilt_is_a_power_of_the_depth():
    levels = (("a",), ("b", "c"), ("d",))
    assert tilted(levels, 0.5) == {"a": 0.25, "b": 0.5, "c": 0.5, "d": 1.0}
    assert tilted(levels, 2) == {"a": 1.0, "b": 0.5, "c": 0.5, "d": 0.25}
    assert tilted(levels, 0) == {"a": 0.0, "b": 0.0, "c": 0.0, "d": 1.0}


def test_a_tilt_below_1_is_layer_decay(draw):
    assert train(draw, tilted(draw.levels, 0.3), 0.01) == train(draw, layer_decay(0.3), 0.01)


def test_trainings_together_are_trainings_one_by_one(draw):
    cells = [(tilt, rate) for tilt in TASK.tilts for rate in (1e-3, 1e-1)]
    rows = [
        {name: rate * factor for name, factor in tilted(draw.levels, tilt).items()}
        for tilt, rate in cells
    ]
    for (tilt, rate), found in zip(cells, train_together(draw, rows), strict=True):
        alone = train(draw, tilted(draw.levels, tilt), rate)
        assert asdict(found) == pytest.approx(asdict(alone), rel=1e-3)


# -- the oracle, and what is kept --------------------------------------------------------------


def test_the_oracle_is_kept_and_chooses_by_the_test_set(draw, tmp_path):
    first = oracle(draw, Kept(draw, tmp_path))
    assert {(t, rate_at(TASK, k)) for t in TASK.tilts for k in range(3)} <= set(first.cells)
    assert [rate_at(TASK, k) for k in range(3)] == pytest.approx([1e-3, 1e-2, 1e-1])
    assert first.lowest.test_loss == min(cell.test_loss for cell in first.cells.values())
    singles = [cell.test_loss for (tilt, _), cell in first.cells.items() if tilt == 1]
    assert first.single.test_loss == min(singles)
    (file,) = tmp_path.iterdir()
    before = file.read_text()
    assert oracle(draw, Kept(draw, tmp_path)) == first
    assert file.read_text() == before


def test_the_grid_goes_on_where_the_best_lies_at_its_end(tmp_path):
    low = replace(TASK, rates=(-6.0, -5.0)).draw(1)
    found = oracle(low, Kept(low, tmp_path))
    for tilt in TASK.tilts:
        rates = sorted(rate for of, rate in found.cells if of == tilt)
        assert rates == pytest.approx([10 ** (-6 + k / 2) for k in range(9)])
        assert found.best((tilt,))[1] == rates[-1]


def test_a_torn_line_is_measured_again(draw, tmp_path):
    whole = oracle(draw, Kept(draw, tmp_path))
    (file,) = tmp_path.iterdir()
    file.write_text(file.read_text()[:-20])
    assert oracle(draw, Kept(draw, tmp_path)) == whole
    # What was torn must not swallow what is written after it.
    assert oracle(draw, Kept(draw, tmp_path)) == whole
    assert Kept(draw, tmp_path).has("untrained")


# -- methods -----------------------------------------------------------------------------------


def test_a_search_gets_all_labels_or_what_is_not_held_out(draw):
    everything = search_loader(draw)
    count = int(HELD_OUT * 30)
    held_out, rest = search_loader(draw, slice(count)), search_loader(draw, slice(count, None))

    def rows(loader):
        return Counter(tuple(x) for batch in loader for x in batch.x.tolist())

    assert rows(everything) == rows([draw.train]) == rows(held_out) + rows(rest)
    assert not rows(held_out) & rows(rest)


def test_a_rate_is_found_for_rules(draw):
    rate, updates, _ = rate_for(draw, tilted(draw.levels, 0.3))
    assert 1e-5 < rate < 1
    assert 0 < updates <= 300


def test_relative_norms_are_gradient_over_weight(draw):
    model = draw.model()
    batch = draw.batches(0)[0]
    nn.functional.cross_entropy(model(batch.x), batch.y).backward()
    ratios = []
    for layer in (model[0], model[2], model[4]):
        weight = torch.cat([p.detach().flatten() for p in layer.parameters()]).norm()
        gradient = torch.cat([p.grad.flatten() for p in layer.parameters()]).norm()
        ratios.append(float(gradient / weight))
    expected = [ratio / max(ratios) for ratio in ratios for _ in range(2)]
    found = relative_norms(draw, model, [batch])
    assert list(found.values()) == pytest.approx(expected)
    assert train_by_norms(draw, 0.01) == train_by_norms(draw, 0.01)


def test_ldog_moves_each_tensor_by_its_own_distance_over_gradients():
    x = torch.tensor([3.0, 4.0], requires_grad=True)
    y = torch.tensor([0.5], requires_grad=True)
    tensors = (x, y)
    optimizer = LDoG(tensors, first=0.1)
    starts = [t.detach().numpy().copy() for t in tensors]
    at = [start.copy() for start in starts]
    average = [start.copy() for start in starts]
    farthest = [0.1 * (1 + np.linalg.norm(start)) for start in starts]
    squares = [1e-8, 1e-8]
    for step in range(1, 5):
        optimizer.zero_grad()
        ((x**2).sum() + (y**4).sum()).backward()
        optimizer.step()
        for k, grad in enumerate((2 * at[0], 4 * at[1] ** 3)):
            farthest[k] = max(farthest[k], np.linalg.norm(at[k] - starts[k]))
            squares[k] += (grad**2).sum()
            at[k] = at[k] - farthest[k] / squares[k] ** 0.5 * grad
            share = 9 / (step + 8)
            average[k] = (1 - share) * average[k] + share * at[k]
    for tensor, expected in zip(tensors, at, strict=True):
        assert tensor.detach().numpy() == pytest.approx(expected, rel=1e-5)
    optimizer.take_average()
    for tensor, expected in zip(tensors, average, strict=True):
        assert tensor.detach().numpy() == pytest.approx(expected, rel=1e-5)


# -- rows --------------------------------------------------------------------------------------


def test_a_constant_answer_is_worth_the_entropy_of_the_labels(draw):
    shares = np.bincount(draw.test.y) / len(draw.test.y)
    assert constant_loss(draw) == pytest.approx(-(shares * np.log(shares)).sum())


def test_shares_are_of_what_training_gains(draw, tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.rates._rows.Kept", lambda draw: Kept(draw, tmp_path))
    rows = {row.method: row for row in rows_of(draw, ["L-DoG"])}
    assert rows[BEST_TILT].share == 0
    known = oracle(draw, Kept(draw, tmp_path))
    worst = min(known.untrained.test_loss, constant_loss(draw))
    lowest = known.lowest.test_loss
    expected = (known.single.test_loss - lowest) / (worst - lowest)
    assert rows[ONE_RATE].share == pytest.approx(expected, abs=1e-4)
    assert 0 < rows["L-DoG"].share <= 1


def test_rows_join_those_that_were_saved(tmp_path):
    def row(method, loss, seed=0):
        return Row("digits-scratch", seed, method, loss, 0.9, loss / 10, 0.01, 0, "tilt 1")

    place = tmp_path / "rates.json"
    save([row(ONE_RATE, 0.5), row(BEST_TILT, 0.4)], place)
    rows = save([row(ONE_RATE, 0.6), row(ONE_RATE, 0.8, seed=1)], place)
    assert rows == load(place)
    assert [(r.seed, r.method, r.loss) for r in rows] == [
        (0, BEST_TILT, 0.4),
        (0, ONE_RATE, 0.6),
        (1, ONE_RATE, 0.8),
    ]
    table = methods_table(rows, "tuned")
    assert list(table.columns[1].cells) == ["0.0400", "0.0700"]
    assert next(iter(tasks_table(rows, "tuned").columns[3].cells)).startswith("0.700 ± 0.141")
