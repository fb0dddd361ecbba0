"""Variables that a strategy of TensorFlow keeps once for each replica, each of them by itself.

Replicas don't always agree: each has its own moving averages of a batch normalization, and its own
part of a metric. Read or assigned as one, such a variable would lose what they differ in.
"""

from typing import Any


class ReplicaVariable:
    """One replica's own of a variable, with as much of a Keras variable as a copy needs.

    Args:
        value: TensorFlow's variable on that replica.
    """

    def __init__(self, value: Any) -> None:
        self.value = value
        self.dtype = value.dtype

    def assign(self, value: Any) -> None:
        """Assign it on this replica alone."""
        self.value.assign(value, read_value=False)


def on_each_replica(model: Any, variables: list[Any]) -> list[Any]:
    """The same variables, and in the place of one that is kept on several replicas, each of those.

    Args:
        model: Whose variables they are.
        variables: Keras variables.
    """
    strategy = getattr(model, "distribute_strategy", None)
    if strategy is None:
        return variables
    found: list[Any] = []
    for variable in variables:
        own = strategy.experimental_local_results(variable.value)
        found += [variable] if len(own) == 1 else map(ReplicaVariable, own)
    return found
