"""Mutated videos through a reader, and what came of them."""

import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from films import Films
from mutations import mutated

from frameflow.inference.timeline.shots import ShotRequest
from frameflow.serving.limits import Limits, Refused
from frameflow.serving.reader import SafeReader
from frameflow.video.clip import ClipRequest

KINDS = [
    *("h264.mp4", "mpeg4.avi", "vp9.webm", "h264.mkv", "h264.mov", "gif.gif", "h264.ts"),
    *("vp8.webm", "mpeg2.mpg", "flv1.flv", "wmv2.wmv", "theora.ogv", "mjpeg.avi", "hevc.mp4"),
    *("png.mkv", "odd.mkv", "raw.avi"),
]
LIMITS = Limits(decode_seconds=30, stream_seconds=60, memory_bytes=512 << 20)
CLIP = ClipRequest(size=32, views=2, gaps=(1,))
FOLLOWED = ClipRequest(size=32, fit="follow")
SHOTS = ShotRequest((CLIP, FOLLOWED), grid=4.0)


@dataclass
class Report:
    """What came of mutated videos."""

    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    slowest: list[tuple[float, str]] = field(default_factory=list)
    restarts: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str, do: str, seconds: float, said: str) -> None:
        with self.lock:
            self.answers[f"{do}: {said}"] += 1
            self.slowest = sorted([*self.slowest, (seconds, f"{name} {do} {said}")])[-5:]

    def __str__(self) -> str:
        counts = "\n".join(f"{count:6} {said}" for said, count in sorted(self.answers.items()))
        slowest = "\n".join(f"{seconds:6.2f} s {name}" for seconds, name in self.slowest)
        return f"{counts}\nrestarts {self.restarts}\nslowest\n{slowest}\nwrong {self.wrong}"


def real_films(folder: Path) -> list[bytes]:
    """Small real clips."""
    found = sorted(folder.glob("clips/*.*"), key=lambda path: path.stat().st_size)
    return [path.read_bytes() for path in found if path.stat().st_size < 600_000]


def fuzz(films: list[bytes], numbers: Iterable[int], folder: Path) -> Report:
    """Read mutated videos in two threads and two processes; keeps those of bad answers."""
    report = Report()
    with SafeReader(LIMITS, workers=2) as reader, ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda number: _one(reader, films, number, folder, report), numbers))
        report.restarts = reader.restarts
    return report


def _one(reader: SafeReader, films: list[bytes], number: int, folder: Path, report: Report) -> None:
    done, data = mutated(number, films)
    path = folder / f"{number}"
    path.write_bytes(data)
    preview = folder / f"{number}.mp4"
    ways = {
        "probe": lambda: reader.probe(path),
        "read": lambda: reader.read(path, [CLIP, FOLLOWED]),
        "shots": lambda: sum(1 for _ in reader.shots(path, SHOTS)),
        "preview": lambda: reader.preview(path, preview),
    }
    asked = ("probe", "read") if number % 2 else ("read", "shots" if number % 4 else "preview")
    for do in asked:
        begun = time.monotonic()
        try:
            ways[do]()
            said = "answered"
        except Refused as refused:
            said = f"{refused.status} {refused.code}"
            if not 400 <= refused.status < 500 or refused.code in ("crashed", "timeout", "busy"):
                shutil.copy(path, folder / f"bad-{refused.code}-{number}")
        except BaseException as error:
            said = "raised"
            report.wrong.append(f"{number} {done} {do}: {error!r}")
            shutil.copy(path, folder / f"bad-{number}")
        report.add(f"{number} {done}", do, time.monotonic() - begun, said)
    path.unlink()
    preview.unlink(missing_ok=True)


if __name__ == "__main__":  # python fuzzing.py FIRST COUNT FOLDER [REAL]
    first, count, out = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    out.mkdir(parents=True, exist_ok=True)
    made = Films(out / "films")
    made.folder.mkdir(exist_ok=True)
    given = [made[kind].read_bytes() for kind in KINDS]
    given += real_films(Path(sys.argv[4])) if len(sys.argv) > 4 else []
    begun = time.monotonic()
    print(fuzz(given, range(first, first + count), out))
    print(f"{time.monotonic() - begun:.0f} s, {len(given)} films")
