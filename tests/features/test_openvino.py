"""OpenVINO leaves the process as it found it: Ctrl-C reaches Python however engines come and go."""

import ctypes
import gc
import re
import sys
import threading
from pathlib import Path

import pytest

import frameflow
from frameflow.features._openvino import openvino_core
from frameflow.features.engines import Engine, make_engine
from frameflow.models.backbones import Backbone, build_backbone

SOURCE = Path(frameflow.__file__).parent


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return build_backbone("mobilenetv3_small_050", weights="none", size=64)


class _Stack(ctypes.Structure):
    _fields_ = (("place", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def signals_have_a_stack() -> bool:
    """Whether the place where this thread runs signal handlers is memory of the process."""
    stack = _Stack()
    assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack)) == 0
    if stack.place is None:  # the ordinary stack
        return True
    ranges = re.findall(r"^(\w+)-(\w+)", Path("/proc/self/maps").read_text(), re.MULTILINE)
    return any(int(low, 16) <= stack.place < int(high, 16) for low, high in ranges)


@pytest.mark.skipif(sys.platform != "linux", reason="looks at Linux's own tables")
@pytest.mark.parametrize("elsewhere", [False, True], ids=["in order", "in another thread"])
def test_engines_that_are_gone_leave_signals_a_stack(backbone: Backbone, elsewhere: bool) -> None:
    assert signals_have_a_stack()
    engines: list[Engine] = [make_engine(backbone, "openvino") for _ in range(2)]

    def drop() -> None:
        while engines:
            engines.pop(0)
            gc.collect()

    if elsewhere:
        thread = threading.Thread(target=drop)
        thread.start()
        thread.join()
    else:
        drop()
    assert signals_have_a_stack()


def test_every_thread_gets_the_same_core() -> None:
    found = []
    threads = [threading.Thread(target=lambda: found.append(openvino_core())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert all(core is found[0] for core in found)


def test_nothing_makes_a_core_of_its_own() -> None:
    own = [
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.py")
        if re.search(r"\bCore\(\)", path.read_text(encoding="utf-8"))
    ]
    assert own == ["features/_openvino.py"]
