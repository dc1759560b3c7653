"""What a score rests on: versions, weights, date."""

import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("frameflow-video", "torch", "timm", "numpy", "av", "onnxruntime", "openvino")


def versions() -> dict[str, str]:
    """Python and the packages that figures depend on; those that are installed."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def now() -> str:
    """The time in UTC, to the second, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
