"""What a process can do no more from now on, where the system can see to it (Linux's Landlock).

Even a decoder that a file took over can then neither write outside one folder, nor start
programs, nor open TCP connections, nor signal other processes. https://docs.kernel.org/userspace-api/landlock.html
"""

import ctypes
import os
import struct
import sys
from pathlib import Path

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # numbers of the system calls, the same everywhere
_NO_NEW_PRIVILEGES = 38
_PATH_RULE = 1

_EXECUTE = 1 << 0
_WRITE = 0b1_1111_1111_0010  # write a file; remove, and make one of any kind
# By the kernel's version of Landlock: moving files between folders; cutting them short.
_LATER = ((2, 1 << 13), (3, 1 << 14))
_TCP = 0b11  # bind and connect, from version 4 on
_SCOPE = 0b11  # sockets and signals to processes outside, from version 6 on


def confine(folder: Path | None) -> bool:
    """Give up writing outside a folder, starting programs, TCP and signals; whether that worked.

    Only of the thread that calls, and of what it starts: call it before there are others.

    Args:
        folder: that may be written in; None leaves all files as writable as they are.
    """
    if sys.platform != "linux":
        return False
    system = ctypes.CDLL(None, use_errno=True)
    version = system.syscall(_CREATE, None, 0, 1)
    if version < 1:
        return False
    write = _WRITE | sum(right for since, right in _LATER if version >= since)
    files = _EXECUTE | (write if folder is not None else 0)
    network, scope = _TCP * (version >= 4), _SCOPE * (version >= 6)
    rules = struct.pack("=QQQ", files, network, scope)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = system.syscall(_CREATE, rules, size, 0)
    if ruleset < 0:
        return False
    try:
        return _allow(system, ruleset, folder, write) and _restrict(system, ruleset)
    finally:
        os.close(ruleset)


def _allow(system: ctypes.CDLL, ruleset: int, folder: Path | None, write: int) -> bool:
    if folder is None:
        return True
    beneath = os.open(folder, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", write, beneath)
        return bool(system.syscall(_ADD, ruleset, _PATH_RULE, rule, 0) == 0)
    finally:
        os.close(beneath)


def _restrict(system: ctypes.CDLL, ruleset: int) -> bool:
    if system.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        return False
    return bool(system.syscall(_RESTRICT, ruleset, 0) == 0)
