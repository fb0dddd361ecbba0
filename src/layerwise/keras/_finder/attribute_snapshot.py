"""Python attributes put back as they were: what was built in between is unbuilt again."""

from typing import Any

from layerwise.keras._internals.tensorflow import PROXY_STATE

_KINDS = (list, dict, set)


class AttributeSnapshot:
    """The attributes of some objects and what is in the lists, dicts and sets among them.

    Args:
        objects: What to remember; values of variables are not part of it.
    """

    def __init__(self, *objects: Any) -> None:
        self._attributes: list[tuple[Any, dict[str, Any]]] = []
        self._containers: dict[int, tuple[Any, Any]] = {}
        self._proxies: list[tuple[Any, dict[str, Any]]] = []
        for thing in objects:
            self._keep_attributes(thing)

    def _keep_attributes(self, thing: Any, depth: int = 2) -> None:
        attributes = dict(vars(thing))
        self._attributes.append((thing, attributes))
        for value in attributes.values():
            self._keep_content(value, depth)

    def _keep_content(self, value: Any, depth: int) -> None:
        if hasattr(value, "__wrapped__"):  # TensorFlow's dicts are a proxy of a dict
            kept = {name: getattr(value, name) for name in PROXY_STATE if hasattr(value, name)}
            self._proxies.append((value, kept))
            value = value.__wrapped__
        plain = next((kind for kind in _KINDS if isinstance(value, kind)), None)
        if plain is None or id(value) in self._containers or not depth:
            return
        if hasattr(value, "_storage"):  # TensorFlow's lists have another list inside
            self._keep_attributes(value, depth)
            return
        self._containers[id(value)] = value, plain(value)
        if plain is dict:
            for inner in value.values():
                self._keep_content(inner, depth - 1)

    def put_back(self) -> None:
        """Make them as they were."""
        for thing, attributes in self._attributes:
            vars(thing).clear()
            vars(thing).update(attributes)
        for container, content in self._containers.values():
            _refill(container, content)
        for proxy, kept in self._proxies:
            for name, value in kept.items():
                setattr(proxy, name, value)


def _refill(container: Any, content: Any) -> None:
    """Past the tracking of Keras' own lists, dicts and sets, which must not see it."""
    if isinstance(container, list):
        list.__setitem__(container, slice(None), content)
    elif isinstance(container, dict):
        dict.clear(container)
        dict.update(container, content)
    else:
        set.clear(container)
        set.update(container, content)
