"""``--set key.path=value``: one change of a recipe."""

from typing import Any

import yaml

from frameflow.errors import UsageError


def apply_override(values: dict[str, Any], override: str) -> None:
    """Change one key of a complete recipe in place.

    Args:
        values: the recipe as plain values.
        override: ``"train.lr=0.001"`` and the like.

    Raises:
        UsageError: it is no ``key=value``, or the recipe has no such place.
    """
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"--set {override!r} must read key=value, for instance train.lr=0.001.")
    *parents, last = key.strip().split(".")
    node: Any = values
    try:
        for part in parents:
            node = node[int(part)] if isinstance(node, list) else node.setdefault(part, {})
        if isinstance(node, list):
            node[int(last)] = yaml.safe_load(text)
        elif parents == ["head"] and last == "name":
            # The options are those of the head that goes; the new one starts from its own.
            if node.get("name") != text.strip():
                node.clear()
            node["name"] = text.strip()
        else:
            node[last] = _scalar(text)
    except (IndexError, ValueError, TypeError, AttributeError):
        raise UsageError(f"--set {override!r}: the recipe has no place {key.strip()!r}.") from None


def _scalar(text: str) -> Any:
    """YAML reads ``1e-3`` as a string; people mean the number."""
    value = yaml.safe_load(text)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value
