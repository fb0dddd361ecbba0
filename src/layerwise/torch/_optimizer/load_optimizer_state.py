"""load_optimizer_state: what an optimizer remembers of each parameter, by the parameter's name."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from layerwise._text import first_few
from layerwise.errors import OptimizerError
from layerwise.torch._groups.group_parameters import STATELESS, parameter_names
from layerwise.torch._parameters import Named, NamedTensor, named_tensors, unwrapped


def load_optimizer_state(
    model: Named,
    optimizer: Optimizer,
    state: Mapping[str, Any],
    *,
    names: Sequence[str] | None = None,
    strict: bool = True,
) -> tuple[str, ...]:
    """Load what an optimizer remembers of each parameter, by name, into groups of any rules.

    PyTorch's own ``optimizer.load_state_dict`` gives the saved moments to the parameters in order.
    Into other groups than those that were saved, it puts one weight's moments on another, without a
    word if their shapes agree. This function goes by name. It loads moments and counts of steps,
    and leaves the groups as they are: rates, multipliers and weight decay are those of
    ``optimizer``. So it is also the way to resume at another rate or under other rules.

    The names come from the state, if ``param_groups``, PyTorch's ``named_parameters`` or a
    distributed checkpoint has put them there. The state of a plain optimizer, which has one group
    and no names, has the order of ``model.named_parameters()``, all of them or those that train.

    Args:
        model: The model, wrapped or not, or its named parameters.
        optimizer: Its optimizer, with groups of any kind.
        state: What ``optimizer.state_dict()`` or
            ``torch.distributed.checkpoint.state_dict.get_optimizer_state_dict`` gave.
        names: The names of the saved parameters, in the order of the state, if it has none. Those
            of several groups follow each other.
        strict: Whether a saved parameter that the model doesn't have is an error.

    Returns:
        The names of the optimizer's parameters of which nothing was saved. They begin afresh.

    Raises:
        OptimizerError: The state doesn't tell which parameters it is of, or what was saved of one
            doesn't fit its shape. Nothing has been loaded then.

    Examples:
        >>> import torch
        >>> from layerwise.torch import load_optimizer_state, param_groups
        >>> model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
        >>> plain = torch.optim.Adam(model.parameters(), lr=1e-3)
        >>> model(torch.ones(1, 2)).sum().backward()
        >>> plain.step()
        >>> optimizer = torch.optim.Adam(param_groups(model, {"0": 0.1}, lr=1e-4))
        >>> load_optimizer_state(model, optimizer, plain.state_dict())
        ()
        >>> optimizer.state[model[1].weight] is not plain.state[model[1].weight]
        True
        >>> [group["lr"] for group in optimizer.param_groups]
        [1e-05, 0.0001]

    Source: ``torch.optim.Optimizer.load_state_dict``, which casts the values.
    """
    known = named_tensors(model)
    by_name = {
        spelling: named
        for named in known
        for name in reversed(named.names)
        for spelling in (name, unwrapped(name))
    }
    saved = dict(_saved(state, known, names))
    unknown = [name for name in saved if unwrapped(name) not in by_name and name not in by_name]
    if unknown and strict:
        raise OptimizerError(
            f"The model has no parameters called {first_few(unknown)}, which are in the state. "
            "Load into the model that was trained, or leave them out with strict=False."
        )
    entries = {
        id(found.tensor): _fitting(found, entry)
        for name, entry in saved.items()
        if (found := by_name.get(name, by_name.get(unwrapped(name)))) is not None
    }
    present = optimizer.state_dict()
    tensors = [tensor for group in optimizer.param_groups for tensor in group["params"]]
    numbers = [number for group in present["param_groups"] for number in group["params"]]
    placed = list(zip(numbers, tensors, strict=True))
    loaded = {number: entries[id(each)] for number, each in placed if entries.get(id(each))}
    groups = [
        {**group, STATELESS: ""} if STATELESS in group else group
        for group in present["param_groups"]
    ]
    optimizer.load_state_dict({"state": loaded, "param_groups": groups})
    called = {id(named.tensor): named.name for named in known}
    return tuple(
        called.get(id(tensor), f"parameter {number}")
        for number, tensor in placed
        if number not in loaded
    )


def _saved(
    state: Mapping[str, Any], known: Sequence[NamedTensor], names: Sequence[str] | None
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The name of each saved parameter, with what was saved of it.

    Raises:
        OptimizerError: It is no state, or doesn't tell which parameters it is of.
    """
    if not {"state", "param_groups"} <= dict(state).keys():
        flat = _unflattened(state, known)
        if not flat:
            raise OptimizerError(
                "This is no state of an optimizer: it must have 'state' and 'param_groups', as "
                "optimizer.state_dict() gives them."
            )
        yield from flat.items()
        return
    numbers = [number for group in state["param_groups"] for number in group["params"]]
    if names is None and all(isinstance(number, str) for number in numbers):
        names = numbers  # of a distributed checkpoint
    found = _names_of(state["param_groups"], known) if names is None else list(names)
    if len(found) != len(numbers):
        raise OptimizerError(
            f"The state has {len(numbers)} parameters, and names= has {len(found)}."
        )
    for name, number in zip(found, numbers, strict=True):
        yield name, state["state"].get(number, {})


def _names_of(groups: Sequence[Mapping[str, Any]], known: Sequence[NamedTensor]) -> list[str]:
    """The names of the parameters in saved groups.

    Raises:
        OptimizerError: Nothing tells them.
    """
    each = [parameter_names(group) for group in groups]
    if all(names is not None for names in each):
        return [name for names in each for name in names or ()]
    count = sum(len(group["params"]) for group in groups)
    for order in (known, [named for named in known if named.tensor.requires_grad]):
        if len(groups) == 1 and len(order) == count:
            return [named.name for named in order]
    raise OptimizerError(
        f"The state has {len(groups)} groups with {count} parameters and not all their names, and "
        f"the model has {len(known)} parameters, so that nothing tells which is which. Give their "
        "names in the order of the state: names=[...]. For groups that were made by hand, these "
        "are the names of the first group's parameters, then of the second's, and so on."
    )


def _unflattened(
    state: Mapping[str, Any], known: Sequence[NamedTensor]
) -> dict[str, dict[str, Any]]:
    """The state of each parameter in a flattened distributed checkpoint, by its name."""
    found: dict[str, dict[str, Any]] = {}
    names = sorted({unwrapped(n) for named in known for n in named.names}, key=len, reverse=True)
    for key, value in state.items():
        name = next((n for n in names if str(key).startswith(f"state.{n}.")), None)
        if name is not None:
            found.setdefault(name, {})[str(key).removeprefix(f"state.{name}.")] = value
    return found


def _fitting(named: NamedTensor, entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """What was saved of a parameter, if it fits.

    Raises:
        OptimizerError: A moment has another shape. Factored ones have 1 in place of a size.
    """
    shape = tuple(named.tensor.shape)
    for key, value in entry.items():
        if not isinstance(value, Tensor) or value.ndim != len(shape):
            continue
        if any(size not in (here, 1) for size, here in zip(value.shape, shape, strict=True)):
            raise OptimizerError(
                f"The state has a {key!r} of shape {tuple(value.shape)} for {named.name!r}, "
                f"whose shape is {shape}. It is of another model, or its parameters are in "
                "another order: give their names in the order of the state as names=[...]."
            )
    return entry
