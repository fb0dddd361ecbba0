"""find_lr on PyTorch: bad input is one clear error, and changes nothing."""

from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from layerwise.errors import FinderError
from layerwise.torch import find_lr
from tests._support.bad_searches import BAD_SEARCHES
from tests._support.torch.finding import (
    fingerprint,
    loss_function,
    make_loader,
    make_noisy,
    make_searched,
)

# PyTorch's compiler warns about a module of its own when it is first imported.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script_method`:DeprecationWarning")


def refused(match: str, **changes: Any) -> None:
    """find_lr raises one clear error, and nothing has changed."""
    model, optimizer = make_searched(steps=1)
    given: dict[str, Any] = {
        "model": model,
        "optimizer": optimizer,
        "loss": loss_function,
        "loader": make_loader(),
        "progress": False,
    } | {key: change(model) if key == "optimizer" else change for key, change in changes.items()}
    before = fingerprint(model, optimizer)
    with pytest.raises(FinderError, match=match):
        find_lr(**given)
    assert fingerprint(model, optimizer) == before


CFLOAT = torch.cfloat
X, Y = torch.zeros(4, 6), torch.zeros(4, dtype=torch.long)


class Named(NamedTuple):
    x: torch.Tensor
    y: torch.Tensor
    weight: torch.Tensor


@pytest.mark.parametrize(
    ("match", "batch"),
    [
        (r"\(\(4, 6\) on cpu, \(4,\) on cpu, int\).*3 were given.*step=", (X, Y, 3)),
        ("3 were given.*step=", [X, Y, Y]),
        ("3 were given.*step=", Named(X, Y, Y)),
        ("{'x': .4, 6. on cpu, 'y'.*unexpected keyword.*step=", {"x": X, "y": Y}),
        ("must be Tensor, not dict.*step=", {"x": X}),
        ("not dict.*step=", ({"x": X}, Y)),
        ("NoneType.*step=", (None, Y)),
        ("shapes cannot be multiplied.*step=", (torch.zeros(4, 5), Y)),
        ("on meta.*device=", (X.to("meta"), Y.to("meta"))),
    ],
    ids=str,
)
def test_a_batch_that_the_model_cannot_take(match: str, batch: Any) -> None:
    """Whatever PyTorch says, the error has it, what the batch is made of, and the way out."""
    refused(f"(?s)can't take the first batch.*{match}", loader=[batch] * 3)


def test_an_error_of_a_later_batch_is_the_users_own() -> None:
    model, optimizer = make_searched()
    batches = [next(iter(make_loader()))] * 3 + [(X[:, :5], Y)]
    with pytest.raises(RuntimeError, match="cannot be multiplied") as caught:
        find_lr(model, optimizer, loss_function, batches, steps=12, progress=False)
    assert not isinstance(caught.value, FinderError)


def without_rate(model: Any) -> Any:
    """As Adafactor that makes its own rate."""
    optimizer = torch.optim.Adam(model.parameters())
    optimizer.param_groups[0]["lr"] = None
    return optimizer


def test_a_model_without_values_is_refused() -> None:
    model = nn.Linear(6, 3, device="meta")
    with pytest.raises(FinderError, match=r"meta device.*to_empty"):
        find_lr(model, torch.optim.SGD(model.parameters()), loss_function, make_loader())


class NoRate(torch.optim.Optimizer):
    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters, {})


@pytest.mark.parametrize(
    ("match", "changes"),
    [
        ("no batch", {"loader": []}),
        ("loader=None", {"loader": None}),
        ("loader=3", {"loader": 3}),
        ("not a torch.nn.Module", {"model": "resnet"}),
        ("not a torch.optim.Optimizer", {"optimizer": lambda model: "adam"}),
        ("its lr is None.*relative_step=False", {"optimizer": without_rate}),
        ("no 'lr'", {"optimizer": lambda model: NoRate(model.parameters())}),
        ("have the rate 0", {"optimizer": lambda m: torch.optim.SGD(m.parameters(), lr=0.0)}),
        ("none of the model", {"optimizer": lambda m: torch.optim.SGD(make_noisy().parameters())}),
        ("needs a closure", {"optimizer": lambda m: torch.optim.LBFGS(m.parameters())}),
        ("shape .8,.*Take its mean", {"loss": nn.CrossEntropyLoss(reduction="none")}),
        ("a NoneType; it must", {"loss": lambda outputs, targets: None}),
        ("a dict; .*Return the one entry", {"loss": lambda outputs, y: {"loss": outputs.sum()}}),
        ("a tuple; .*Return the one entry", {"loss": lambda outputs, y: (outputs.sum(), y)}),
        ("have no loss", {"loss": None}),
        ("Make one first", {"loss": nn.CrossEntropyLoss}),
        ("can't be called", {"loss": "cross entropy"}),
        ("two ways", {"step": lambda batch: 0.0}),
        ("no gradient", {"loss": lambda outputs, targets: outputs.detach().sum()}),
        ("accumulate=9 must be at most", {"accumulate": 9}),
        ("autocast=True", {"autocast": True}),
        ("must be a GradScaler", {"scaler": 2.0}),
        ("object has no state_dict", {"also": [object()]}),
        ("float has no state_dict", {"scheduler": 0.5}),
        ("held_out", {"held_out": []}),
        ("device='gpu' can't be used here", {"device": "gpu"}),
        ("device='meta' must be a device that the model is on", {"device": "meta"}),
        ("complex64; it must be one real number", {"loss": lambda out, y: out.sum().to(CFLOAT)}),
        ("does both itself", {"loss": None, "step": lambda batch: 0.0, "accumulate": 2}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_input_is_one_clear_error(match: str, changes: dict[str, Any]) -> None:
    refused(match, **changes)


@pytest.mark.parametrize(("options", "match"), BAD_SEARCHES)
def test_a_bad_option_is_one_clear_error(options: dict[str, Any], match: str) -> None:
    refused(match, **options)


def test_a_model_without_shapes_is_refused() -> None:
    model = nn.LazyLinear(3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(FinderError, match="without a shape"):
        find_lr(model, optimizer, loss_function, make_loader())
