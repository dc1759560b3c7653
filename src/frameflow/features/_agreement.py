"""Which engines compute what PyTorch computes, and how fast: measured once, then remembered."""

import contextlib
import json
import logging
import os
import platform
import time
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from frameflow.features import engines
from frameflow.features._files import write_whole
from frameflow.features._onnx import MAKERS, identity, short_digest, versions
from frameflow.features.home import home

if TYPE_CHECKING:
    from frameflow.features.engines import Engine
    from frameflow.models.backbones import Backbone

log = logging.getLogger(__name__)

KINDS = ("openvino", "onnxruntime", "torch")
LEAST_COSINE = 0.9999
MOST_LENGTH = 0.01  # share by which the length of a feature may differ
_TIMED = 16  # frames
_PAYS = 1.3  # times as fast as the best in float32 must bfloat16 be
_LONG = 3.0  # seconds for a clip; exporting and comparing such a backbone would take minutes


@dataclass(frozen=True, slots=True)
class Check:
    """What is known of an engine for one backbone on this machine."""

    kind: str
    agrees: bool
    reason: str = ""
    cosine: float = 1.0
    frames_per_second: float = 0.0


def fastest(backbone: "Backbone", clip: int | None = None) -> "Engine":
    """The fastest installed engine that agrees with PyTorch, over frames or clips of ``clip``."""
    kinds: tuple[str, ...] = KINDS
    if clip is not None and engines.computes_bfloat16():
        kinds = (*KINDS, "bfloat16")
    checks = _checks(backbone, kinds, clip)
    able = sorted((c for c in checks if c.agrees), key=_worth, reverse=True)
    for check in able:
        if check.kind == "torch":
            break
        try:
            return engines.build(backbone, check.kind, frames=clip)
        except Exception as error:  # a library may fail in ways of its own; PyTorch remains
            log.info("The engine %s is passed over: %s", check.kind, _said(error))
    return engines.build(backbone, "torch", frames=clip)


def _worth(check: Check) -> float:
    """Frames per second; of bfloat16 it must be more, as features are rounded more."""
    return check.frames_per_second / (_PAYS if check.kind == "bfloat16" else 1.0)


def checked(backbone: "Backbone", kind: str, clip: int | None = None) -> "Engine":
    """The engine asked for, over frames or clips of ``clip`` frames.

    Raises:
        UsageError: it is not installed.
        FrameFlowError: it cannot run the backbone, or does not agree with PyTorch.
    """
    try:
        engine = engines.build(backbone, kind, frames=clip)
    except ModuleNotFoundError:
        raise engines.not_installed(kind) from None
    except Exception as error:
        raise engines.failed(kind, backbone, _said(error)) from error
    (check,) = _checks(backbone, (kind,), clip)
    if not check.agrees:
        raise engines.failed(kind, backbone, check.reason)
    return engine


def compare(found: np.ndarray, reference: np.ndarray) -> tuple[float, str]:
    """The least cosine over frames, and what is wrong with ``found`` (empty: nothing).

    Both are ``(..., dim)``.
    """
    found, reference = (x.reshape(-1, x.shape[-1]) for x in (found, reference))
    if not np.isfinite(found).all():
        return 0.0, "it computes values that are not numbers"
    lengths, expected = np.linalg.norm(found, axis=1), np.linalg.norm(reference, axis=1)
    tiny = np.finfo(np.float32).tiny
    cosine = float(((found * reference).sum(1) / np.maximum(lengths * expected, tiny)).min())
    if cosine < LEAST_COSINE:
        return cosine, f"it does not agree with PyTorch (cosine {cosine:.5f} < {LEAST_COSINE})"
    off = float(np.abs(lengths / np.maximum(expected, tiny) - 1).max())
    if off > MOST_LENGTH:
        return cosine, f"its features are {off:.0%} longer or shorter than PyTorch's"
    return cosine, ""


def example_frames(size: int) -> np.ndarray:
    """``(8, size, size, 3)`` uint8: noise, gradients, flat colours with shapes, waves."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    frames = [rng.integers(0, 256, (size, size, 3)), rng.normal(128, 20, (size, size, 3))]
    frames += [np.stack([255 * x, 255 * y, 255 * (1 - x)], -1)]
    frames += [np.stack([127 * (x + y), 255 * x * y, 255 * (x - y) ** 2], -1)]
    for radius in (0.2, 0.4):
        shapes = np.full((size, size, 3), rng.integers(0, 256, 3))
        shapes[(x - 0.4) ** 2 + (y - 0.5) ** 2 < radius**2] = rng.integers(0, 256, 3)
        shapes[(abs(x - 0.7) < radius / 2) & (abs(y - 0.3) < radius)] = rng.integers(0, 256, 3)
        frames.append(shapes)
    for waves in (6, 30):
        grey = 128 + 100 * np.sin(waves * x) * np.cos(waves * y)
        frames.append(np.stack([grey, np.roll(grey, size // 8, 0), 255 - grey], -1))
    return np.stack([np.clip(frame, 0, 255).astype(np.uint8) for frame in frames])


def example_clip(size: int, frames: int) -> np.ndarray:
    """``(1, frames, size, size, 3)`` uint8: the `example_frames` in turn, moving to the right."""
    found = example_frames(size)
    moving = [np.roll(found[t // 4 % len(found)], t * size // 32, axis=1) for t in range(frames)]
    return np.stack(moving)[None]


def _checks(backbone: "Backbone", kinds: tuple[str, ...], clip: int | None) -> list[Check]:
    """What is remembered, and the rest measured now."""
    path = _path(backbone, clip)
    remembered = _recall(path)
    unknown = [kind for kind in kinds if kind not in remembered]
    if unknown:
        measured = _measure(backbone, unknown, clip)
        remembered = _recall(path) | measured
        _remember(path, _key(backbone, clip), remembered)
        if len(kinds) > 1:
            _report(backbone, [remembered[kind] for kind in kinds])
    return [remembered[kind] for kind in kinds]


def _measure(backbone: "Backbone", kinds: list[str], clip: int | None) -> dict[str, Check]:
    size = backbone.preprocess.size
    frames = example_frames(size) if clip is None else example_clip(size, clip)
    each = clip or 1
    torch_engine = engines.TorchEngine(backbone, device="cpu", frames=clip)
    torch_engine(frames[:1])  # the first run is slower
    begun, spent = time.perf_counter(), time.process_time()
    reference = torch_engine(frames)
    seconds, spent = time.perf_counter() - begun, time.process_time() - spent
    own_speed = each * len(frames) / seconds
    found: dict[str, Check] = {}
    for kind in kinds:
        if kind == "torch":
            found[kind] = Check(kind, True, frames_per_second=own_speed)
            continue
        # On a busy machine only the time spent tells a slow backbone; this is remembered for good.
        if min(seconds, spent) > _LONG and kind != "bfloat16":
            found[kind] = Check(kind, False, "comparing it would take minutes")
            continue
        try:
            engine = engines.build(backbone, kind, frames=clip)
            cosine, reason = compare(engine(frames), reference)
            speed = 0.0 if reason else each * _speed(engine, frames, _TIMED // each or 1)
            found[kind] = Check(kind, not reason, reason, cosine, speed)
        except ModuleNotFoundError:
            found[kind] = Check(kind, False, "it is not installed")
        except Exception as error:  # whatever a library raises, the job goes on without it
            log.debug("The engine %s failed.", kind, exc_info=True)
            found[kind] = Check(kind, False, _said(error))
    return found


def _speed(engine: "Engine", frames: np.ndarray, count: int) -> float:
    several = np.resize(frames, (count, *frames.shape[1:]))
    best = 0.0
    for _ in range(3):
        begun = time.perf_counter()
        engine(several)
        best = max(best, count / (time.perf_counter() - begun))
    return best


def _report(backbone: "Backbone", checks: list[Check]) -> None:
    for check in checks:
        if not check.agrees:
            log.info("The engine %s is passed over: %s.", check.kind, check.reason)
    speeds = sorted((c for c in checks if c.agrees), key=lambda c: -c.frames_per_second)
    said = ", ".join(f"{c.kind} {c.frames_per_second:.0f}" for c in speeds)
    log.info("Frames per second of %s on this machine: %s.", backbone.name, said)


def _said(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0][:200] if lines else type(error).__name__).rstrip(".")


# Remembering ----------------------------------------------------------------------------------


def _key(backbone: "Backbone", clip: int | None = None) -> dict[str, object]:
    libraries = versions(*MAKERS, "openvino", "onnxruntime")
    return (
        identity(backbone, clip) | libraries | {"machine": _machine(), "cores": engines.all_cores()}
    )


@lru_cache(maxsize=1)
def _machine() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return f"{platform.machine()} {line.partition(':')[2].strip()}"
    return f"{platform.machine()} {platform.processor()}".strip()


_in_process: dict[str, dict[str, Check]] = {}


def _path(backbone: "Backbone", clip: int | None = None) -> Path:
    name = f"{backbone.name}-{short_digest(_key(backbone, clip))}.json"
    return home() / "engines" / name


def _recall(path: Path) -> dict[str, Check]:
    if str(path) in _in_process:
        return dict(_in_process[str(path)])
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {kind: Check(**values) for kind, values in content["engines"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        log.debug("%s cannot be read; the engines are checked again.", path)
        return {}


def _remember(path: Path, key: dict[str, object], checks: dict[str, Check]) -> None:
    _in_process[str(path)] = dict(checks)
    content = {**key, "engines": {k: asdict(c) for k, c in checks.items()}}
    with contextlib.suppress(OSError):  # a full or read-only disk costs the time only
        write_whole(path, [json.dumps(content, indent=1).encode(), os.linesep.encode()])
