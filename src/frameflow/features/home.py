"""The folder where features, engines and digests are kept between runs."""

import os
from pathlib import Path


def home() -> Path:
    """``$FRAMEFLOW_HOME``, or ``~/.cache/frameflow``; it need not exist yet.

    Everything in it can be computed again: deleting it costs time, nothing else.
    """
    named = os.environ.get("FRAMEFLOW_HOME")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "frameflow"
