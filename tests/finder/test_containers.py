"""What a container holds comes back in place, whatever is done to it meanwhile."""

from collections import OrderedDict, UserDict, defaultdict, deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from layerwise.finder import container_state


class Tracked(list[Any]):
    """A list that may not be changed by its own methods any more, as Keras' may not once built."""

    def append(self, value: object) -> None:
        raise AssertionError

    def extend(self, values: object) -> None:
        raise AssertionError

    def clear(self) -> None:
        raise AssertionError


A, B, C = object(), object(), object()

CONTAINERS: dict[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
    "list": (lambda: [A, B], lambda x: x.reverse()),
    "tracked list": (lambda: Tracked([A, B]), lambda x: list.append(x, C)),
    "dict": (lambda: {"a": A, "b": B}, lambda x: x.update(a=C)),
    "dict with another key": (lambda: {"a": A}, lambda x: x.setdefault("c", C)),
    "order of a dict": (lambda: {"a": A, "b": B}, lambda x: x.update(a=x.pop("a"))),
    "OrderedDict": (lambda: OrderedDict(a=A, b=B), lambda x: x.move_to_end("a")),
    "defaultdict": (lambda: defaultdict(list, a=A), lambda x: x["new"]),
    "mapping": (lambda: UserDict({"a": A}), lambda x: x.pop("a")),
    "set": (lambda: {A, B}, lambda x: x.discard(A)),
    "deque": (lambda: deque([A, B], maxlen=2), lambda x: x.append(C)),
}


def objects(container: Any) -> list[object]:
    inside = list(container.items()) if hasattr(container, "items") else list(container)
    return sorted(inside, key=id) if isinstance(container, set) else inside


@pytest.mark.parametrize("kind", CONTAINERS)
def test_it_comes_back_any_number_of_times(kind: str) -> None:
    make, change = CONTAINERS[kind]
    container = make()
    before = objects(container)
    restore = container_state(container)
    for _ in range(2):
        change(container)
        assert objects(container) != before
        restore()
        assert objects(container) == before
    assert type(container) is type(make())
    assert getattr(container, "maxlen", None) == getattr(make(), "maxlen", None)


def test_what_has_not_changed_is_not_touched() -> None:
    class Frozen(dict[str, object]):
        def __setitem__(self, key: str, value: object) -> None:
            raise AssertionError

    container: Any = UserDict({"a": A})
    inside = container.data
    container_state(container)()
    assert container.data is inside
    frozen = Frozen(a=A)
    restore = container_state(frozen)
    dict.clear(frozen)
    restore()  # by the methods of dict itself
    assert frozen == {"a": A}


def test_an_equal_object_in_the_place_of_another_is_a_change() -> None:
    first, second = [1.0], [1.0]
    container = [first]
    restore = container_state(container)
    container[0] = second
    restore()
    assert container[0] is first


def test_an_array_is_filled_in_place() -> None:
    array = np.arange(3.0)
    view, restore = array[1:], container_state(array)
    array[:] = np.nan
    restore()
    assert view.tolist() == [1.0, 2.0]
    array.flags.writeable = False
    restore()
