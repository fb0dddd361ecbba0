"""Which optimizer makes the steps, where one is wrapped in another."""

from torch.optim import Optimizer

from layerwise.errors import OptimizerError


def hookable(optimizer: Optimizer) -> Optimizer:
    """The optimizer whose ``step`` makes the update: the innermost one with the same groups.

    Accelerate's wrapper, SAM and Lookahead each have another optimizer inside, and share its
    groups. SAM's ``second_step`` calls the ``step`` of that one, and not its own.
    """
    while (inner := inner_optimizer(optimizer)) is not None:
        optimizer = inner
    return optimizer


def inner_optimizer(optimizer: Optimizer) -> Optimizer | None:
    """The optimizer that another has as an attribute and shares its groups with.

    Raises:
        OptimizerError: It is SAM's, and has groups of its own, which nobody would write rates to.
    """
    groups = {id(group) for group in optimizer.param_groups}
    for value in vars(optimizer).values():
        if not isinstance(value, Optimizer):
            continue
        if any(id(group) in groups for group in value.param_groups):
            return value
        if hasattr(optimizer, "second_step"):
            raise OptimizerError(
                f"{type(optimizer).__name__} and the {type(value).__name__} within it have "
                "different groups, so that a rate of the one does not reach the other. Let them "
                "share: optimizer.param_groups = base_optimizer.param_groups."
            )
    return None
