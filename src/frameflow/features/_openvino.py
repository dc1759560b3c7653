"""OpenVINO's entrance, one for the process."""

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import openvino

_made: "list[openvino.Core]" = []
_making = threading.Lock()


def openvino_core() -> "openvino.Core":
    """The one `openvino.Core` of this process, which is never given back.

    A core gives the thread of its first model an alternate stack for signals, and frees that
    memory at its own end. Where it ends in another thread, or before a later core, which then
    puts the freed one back, the thread keeps a stack that is no longer its own. Python's signal
    handlers run there: Ctrl-C is a segmentation fault, or overwrites what has come since.

    Raises:
        ModuleNotFoundError: OpenVINO is not installed.
    """
    import openvino

    with _making:
        if not _made:
            _made.append(openvino.Core())
        return _made[0]
