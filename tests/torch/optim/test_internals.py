"""What ``layerwise.torch.optim`` relies on in PyTorch is there and does what it needs."""

import subprocess
import sys

import pytest
import torch

import layerwise.torch.optim as ours
from layerwise.torch.optim import _internals as internals
from tests._support.torch.stepping import SHAPES, groups_of, parameters


@pytest.mark.parametrize("name", ours.__all__)
def test_gather_fills_as_many_lists_as_a_class_says(name: str) -> None:
    optimizer = getattr(ours, name)(groups_of(parameters()), foreach=True)
    group = optimizer.param_groups[0]
    for parameter in group["params"]:
        parameter.grad = torch.ones_like(parameter)
    lists: internals.Lists = [[] for _ in range(optimizer._lists)]
    internals.gather(optimizer, group, lists)
    assert lists[0] == group["params"]
    assert all(a is b.grad for a, b in zip(lists[1], group["params"], strict=True))
    assert all(len(tensors) in (0, len(lists[0])) for tensors in lists)


def test_parts_by_device_and_dtype_say_where_their_tensors_stood() -> None:
    tensors = parameters((torch.float32, torch.float64))
    parts = internals.by_device_and_dtype([tensors, list(tensors), []])
    assert len(parts) == 2
    for lists, places in parts:
        assert [tensors[place] for place in places] == lists[0]
        assert len({tensor.dtype for tensor in lists[0]}) == 1
        assert lists[2] == []
    assert sorted(place for _, places in parts for place in places) == list(range(len(SHAPES)))


def test_a_step_without_hooks_runs_none() -> None:
    optimizer = torch.optim.SGD(parameters(), lr=0.1)
    optimizer.register_step_pre_hook(lambda *_: pytest.fail("a hook ran"))
    for parameter in optimizer.param_groups[0]["params"]:
        parameter.grad = torch.ones_like(parameter)
    before = optimizer.param_groups[0]["params"][0].clone()
    with torch.no_grad():
        internals.step_without_hooks(torch.optim.SGD)(optimizer)
    assert torch.equal(optimizer.param_groups[0]["params"][0], before - 0.1)


def test_a_pytorch_without_them_is_an_error_that_says_what_to_use() -> None:
    code = (
        "import torch\n"
        "del torch._foreach_lerp_\n"
        "from layerwise.errors import OptimizerError\n"
        "import layerwise.torch\n"  # goes on without them
        "try:\n"
        "    import layerwise.torch.optim\n"
        "except OptimizerError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "_foreach_lerp_" in done.stdout
    assert "classes of torch.optim" in done.stdout
