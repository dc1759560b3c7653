"""What bounds each stage: reading, digesting, decoding, the backbone, storing, training a head.

    python benchmarks/stages.py
    python benchmarks/stages.py --only disk digest decode --seconds 5
    python benchmarks/stages.py --videos "ucf101=/data/UCF-101/*/*.avi" --json stages.json

Each figure is of one stage alone, of the code that the commands run, with the recipe `default`
(16 frames of 224 px). ``wall`` is time by the clock, ``core-s`` processor time: on a busy machine
the second is the truer one. `benchmarks/scaling_plan.py` reckons with these figures.

The network is a loopback S3 server (moto) on the same cores, through fsspec: what is measured is
the client's and the server's own work, no real network. No GPU is looked for.
"""

import argparse
import json
import logging
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from _machine import processor

if TYPE_CHECKING:
    from frameflow.features.encode import ClipEncoder

MB = 1e6
DATA = Path(__file__).parents[2] / "shared" / "data"
SETS = {
    "ucf101-like 320x240 mpeg4": ["clips/*g01_c01.avi", "clips/paddle*.avi", "clips/test.avi"],
    "tennis7 320x142 h264": ["tennis7/*/*.mp4"],
    "kinetics-like 340x256 h264": ["clips/demo.mp4"],
    "kinetics 454x256 h264": ["clips/abseiling_k400.mp4"],
    "1920x1080 h264": ["clips/S001*.avi"],
}


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    stage: str
    what: str
    value: float
    unit: str
    note: str = ""


@dataclass(frozen=True)
class Spent:
    """What one repetition took, on average."""

    wall: float
    core: float


def measured(work: Callable[[], object], seconds: float, *, warm: bool = True) -> Spent:
    """Repeat the work for about so many seconds."""
    if warm:
        work()
    times = 0
    begun, spent = time.perf_counter(), time.process_time()
    while not times or time.perf_counter() - begun < seconds:
        work()
        times += 1
    return Spent((time.perf_counter() - begun) / times, (time.process_time() - spent) / times)


# Disk -----------------------------------------------------------------------------------------


def forget(path: Path) -> None:
    """Take a file out of the system's cache, so that it is read from the disk again."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)


def read_through(path: Path) -> None:
    with open(path, "rb", buffering=0) as file:
        while file.read(1 << 20):
            pass


def disk(given: argparse.Namespace) -> Iterator[Figure]:
    size, count = 256 << 20, 400
    with tempfile.TemporaryDirectory(dir=given.work) as name:
        large, block = Path(name, "large"), os.urandom(1 << 20)
        begun = time.perf_counter()
        with large.open("wb") as file:
            for _ in range(size >> 20):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        yield Figure("disk", "write, one file, synced", size / MB / _since(begun), "MB/s")
        forget(large)
        begun = time.perf_counter()
        read_through(large)
        yield Figure("disk", "read, one file, not cached", size / MB / _since(begun), "MB/s")
        begun = time.perf_counter()
        read_through(large)
        yield Figure("disk", "read, one file, cached", size / MB / _since(begun), "MB/s")
        clips = [Path(name, f"{i}.mp4") for i in range(count)]
        for path in clips:
            path.write_bytes(block[: 500_000 + len(path.name)])
        for path in clips:
            forget(path)
        begun = time.perf_counter()
        for path in clips:
            read_through(path)
        took = _since(begun)
        yield Figure("disk", "read, files of 0.5 MB, not cached", count / 2 / took, "MB/s",
                     f"{count / took:.0f} files/s")  # fmt: skip


def _since(begun: float) -> float:
    return time.perf_counter() - begun


def digest(given: argparse.Namespace) -> Iterator[Figure]:
    import hashlib

    from frameflow.features.digests import content_digests

    block = os.urandom(16 << 20)
    took = measured(lambda: hashlib.blake2b(block, digest_size=16).digest(), given.seconds / 2)
    yield Figure("digest", "BLAKE2b, one core", len(block) / MB / took.core, "MB/s")
    paths = [Path(p) for p in given.sets.get("tennis7 320x142 h264", [])]
    if not paths:
        return
    with tempfile.TemporaryDirectory(dir=given.work) as name:
        memory = Path(name, "digests.sqlite")
        for what in ("new", "remembered"):
            begun, spent = time.perf_counter(), time.process_time()
            content_digests(paths, remembered=memory)
            took = Spent(_since(begun) / len(paths), (time.process_time() - spent) / len(paths))
            yield Figure("digest", f"tennis7 files, {what}", 1 / took.wall, "videos/s",
                         f"{took.core * 1e6:.0f} core-us a video")  # fmt: skip


# Decoding -------------------------------------------------------------------------------------


def every_frame(path: Path) -> int:
    """Decode all frames by one thread, and throw them away."""
    import av
    from av.codec.context import ThreadType

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.codec_context.thread_count = ThreadType.NONE, 1
        return sum(1 for _ in container.decode(stream))


def decode(given: argparse.Namespace) -> Iterator[Figure]:
    from frameflow.config import load_recipe
    from frameflow.features.encode import ClipEncoder
    from frameflow.models.recognizer import build_streams

    recipe = load_recipe("default", ["streams.0.weights=none"])
    encoder = ClipEncoder(recipe.streams, build_streams(recipe), recipe.sampling, engine="torch")
    for name, files in given.sets.items():
        paths = [Path(file) for file in files][:: max(1, len(files) // 24)]
        yield from decoded(name, paths, encoder, given.seconds)


def decoded(
    name: str, paths: list[Path], encoder: "ClipEncoder", seconds: float
) -> Iterator[Figure]:
    """One set of clips."""
    from frameflow.video.decode import read_frames
    from frameflow.video.probe import probe

    infos = [probe(path) for path in paths]
    picks = [np.linspace(0, info.frames - 2, 16).astype(int).tolist() for info in infos]

    def resized(side: int) -> float:
        def work() -> None:
            for info, chosen in zip(infos, picks):
                read_frames(info.path, chosen, size=(side, side), info=info)

        return measured(work, seconds).core / len(paths) / 16 * 1e3

    frames = sum(map(every_frame, paths))
    size = sum(path.stat().st_size for path in paths) / len(paths) / 1e3
    about = f"{len(paths)} clips, {frames / len(paths):.0f} frames and {size:.0f} kB each"
    took = measured(lambda: list(map(probe, paths)), seconds / 2)
    yield Figure("open", name, took.core / len(paths) * 1e3, "core-ms a clip", about)
    took = measured(lambda: list(map(every_frame, paths)), seconds)
    whole = f"{took.core / len(paths) * 1e3:.1f} core-ms for all frames of a clip"
    yield Figure("decode", f"{name}, all frames", frames / took.core, "frames/core-s", whole)
    took = measured(lambda: list(map(encoder.read, paths)), seconds)
    each = took.core / len(paths) * 1e3
    yield Figure("read", f"{name}: 16 frames", each, "core-ms a clip", "opened, decoded, resized")
    yield Figure("resize", f"{name}: to 224 px", resized(224) - resized(16), "core-ms a frame",
                 "more than to 16 px")  # fmt: skip


# Backbones ------------------------------------------------------------------------------------


def backbone(given: argparse.Namespace) -> Iterator[Figure]:
    for kind in ("openvino", "onnxruntime", "torch"):
        with tempfile.TemporaryDirectory(dir=given.work) as name:
            environment = os.environ | {"FRAMEFLOW_HOME": name}
            for start in ("first", "later"):
                found = _in_own_process(["--engine", kind, "--seconds", str(given.seconds)],
                                        environment)  # fmt: skip
                if start == "later":
                    yield Figure("backbone", f"Lite0 at 224 px, {kind}", found["rate"], "frames/s",
                                 f"all cores; {found['core_ms']:.2f} core-ms a frame, peak "
                                 f"{found['memory']:.2f} GB")  # fmt: skip
                what = "imports, network, engine" + (", export" * (start == "first"))
                yield Figure("start", f"{kind}, {start} time", found["start"], "core-s", what)


def one_engine(kind: str, seconds: float) -> None:
    from frameflow.config import load_recipe
    from frameflow.features.engines import build
    from frameflow.models.recognizer import build_streams

    (built,) = build_streams(load_recipe("default"))
    engine = build(built, kind)
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (64, 224, 224, 3), dtype=np.uint8)
    engine(frames[:4])
    start = time.process_time()
    took = measured(lambda: engine(frames), seconds)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    rates = {"rate": 64 / took.wall, "core_ms": took.core / 64 * 1e3}
    print(json.dumps({**rates, "start": start, "memory": memory}))


def _in_own_process(arguments: list[str], environment: dict[str, str]) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, *arguments],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{arguments} failed:\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def extraction(given: argparse.Namespace) -> Iterator[Figure]:
    """All of it, on clips that are told apart by their bytes."""
    from frameflow.config import load_recipe
    from frameflow.data.manifest import Manifest, Sample
    from frameflow.features.extract import extract
    from frameflow.models.recognizer import build_streams

    recipe = load_recipe("default")
    backbones = build_streams(recipe)
    for name, files in given.sets.items():
        with tempfile.TemporaryDirectory(dir=given.work) as folder:
            copies = []
            for number in range(max(48, min(len(files), 120))):  # a byte behind the end: no copy
                source = Path(files[number % len(files)])
                copy = Path(folder, f"{number}{source.suffix}")
                copy.write_bytes(source.read_bytes() + number.to_bytes(4, "big"))
                copies.append(Sample(copy.name))
            begun, spent = time.perf_counter(), time.process_time()
            found = extract(Manifest(copies, folder), recipe, store=Path(folder, "store"),
                            backbones=backbones, engine=given.engine_of_extraction)  # fmt: skip
            wall, core = _since(begun), time.process_time() - spent
        count = len(found)
        yield Figure("extract", name, count / wall, "clips/s",
                     f"{count} clips, {core / count * 1e3:.0f} core-ms a clip")  # fmt: skip


# Features on disk -----------------------------------------------------------------------------


def storing(given: argparse.Namespace) -> Iterator[Figure]:
    from frameflow.features._shard import open_shard, write_shard

    frames, dim, rows = 16, 2880, 256
    rng = np.random.default_rng(0)
    features = rng.normal(size=(rows, frames, dim)).astype(np.float16)
    mask = np.ones((rows, frames), bool)
    keys = [f"{i:032x}" for i in range(rows)]
    with tempfile.TemporaryDirectory(dir=given.work) as folder:
        path = Path(folder, "one.features")
        took = measured(lambda: write_shard(path, keys, features, mask), given.seconds / 2)
        size = path.stat().st_size
        yield Figure("store", "float16, 16 x 2880 (default)", size / rows, "bytes a clip",
                     "float32 would take twice as many")  # fmt: skip
        yield Figure("store", "shards of 256 clips written", rows / took.wall, "clips/s",
                     f"{size / MB / took.wall:.0f} MB/s, synced")  # fmt: skip
        took = measured(lambda: open_shard(path), given.seconds / 4)
        yield Figure("store", "a shard opened", took.core * 1e3, "core-ms", "its header read")
        took = measured(lambda: open_shard(path).intact(), given.seconds / 4)
        yield Figure("store", "a shard checked, cached", size / MB / took.core, "MB/core-s")


def network(given: argparse.Namespace) -> Iterator[Figure]:
    import fsspec
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    os.environ |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "a"}
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        system = fsspec.filesystem("s3", endpoint_url=f"http://{host}:{port}")
        system.mkdir("clips")
        for kilobytes in (50, 500, 20_000):
            block = os.urandom(kilobytes * 1000)
            ways: dict[str, Callable[[], object]] = {
                "put": partial(system.pipe_file, "clips/one", block),
                "get": partial(system.cat_file, "clips/one"),
            }
            for way, work in ways.items():
                took = measured(work, given.seconds / 4)
                yield Figure("network", f"S3 on the loopback, {way} {kilobytes} kB",
                             kilobytes / 1e3 / took.wall, "MB/s",
                             f"{took.wall * 1e3:.1f} ms each")  # fmt: skip
    finally:
        server.stop()


# Training -------------------------------------------------------------------------------------


def training(given: argparse.Namespace) -> Iterator[Figure]:
    for clips in given.clips:
        found = _in_own_process(["--train-clips", str(clips), "--classes", str(given.classes),
                                 "--work", str(given.work)],
                                os.environ | {"OMP_NUM_THREADS": "1"})  # fmt: skip
        yield Figure("head", f"{clips:,} clips, {given.classes} classes", found["epoch"],
                     "core-s an epoch", f"{found['once']:.1f} core-s once, {found['held']}, peak "
                     f"{found['memory']:.2f} GB")  # fmt: skip


def one_training(clips: int, classes: int, work: Path) -> None:
    """The default head on stored features of random numbers: two epochs, on a real store."""
    time.perf_counter = time.process_time  # the loop's own seconds are then those of one core
    from frameflow.config import load_recipe
    from frameflow.data.manifest import Sample
    from frameflow.features.store import FeatureSpec, FeatureStore
    from frameflow.features.stored import Features
    from frameflow.models.recognizer import build_recognizer
    from frameflow.training.examples import FeatureExamples, in_memory
    from frameflow.training.loop import train_head

    recipe = load_recipe("default", ["streams.0.weights=none"])
    frames, dim = recipe.sampling.frames, 2880
    spec = FeatureSpec("lite0", "0" * 16, 224, (0.5,) * 3, (0.5,) * 3, "bicubic", "squash",
                       "uniform", frames)  # type: ignore[arg-type]  # fmt: skip
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(dir=work) as folder:
        store = FeatureStore(Path(folder), spec)
        keys = [f"{i:032x}" for i in range(clips)]
        some = rng.normal(size=(256, frames, dim)).astype(np.float16)
        for begin in range(0, clips, 256):
            part = keys[begin : begin + 256]
            store.write_shard(part, some[: len(part)], np.ones((len(part), frames), bool))
        samples = [Sample(key) for key in keys]
        features = Features(samples, keys, [[store]], views=["1"], bad=[], dims=[dim],
                            frames=frames)  # fmt: skip
        begun = time.perf_counter()
        held = in_memory(features)
        examples = FeatureExamples(held, rng.integers(0, classes, clips))
        recognizer = build_recognizer(recipe, [str(i) for i in range(classes)])
        fitted = train_head(
            recognizer.head, examples, None, recipe.train.model_copy(update={"epochs": 2})
        )
        epochs = [row.seconds for row in fitted.history]
        once = _since(begun) - sum(epochs)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    place = "from disk" if held is features else "features in memory"
    if 4 * 14_400 * clips <= 2 << 30:
        place = "summaries in memory"
    print(json.dumps({"epoch": min(epochs), "once": once, "memory": memory, "held": place}))


STAGES: dict[str, Callable[[argparse.Namespace], Iterator[Figure]]] = {
    "disk": disk, "digest": digest, "decode": decode, "backbone": backbone,
    "extract": extraction, "store": storing, "network": network, "head": training,
}  # fmt: skip


def machine() -> str:
    cpu = processor()
    libraries = ", ".join(f"{n} {version(n)}" for n in ("torch", "openvino", "onnxruntime", "av"))
    return (
        f"{cpu}, {os.cpu_count()} cores, no GPU used, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}, {libraries}"
    )


def sets_of(given: argparse.Namespace) -> dict[str, list[str]]:
    if given.videos:
        pairs = [one.partition("=") for one in given.videos]
        root, named = Path("/"), {name: [glob] for name, _, glob in pairs}
    else:
        root, named = given.data, SETS
    found = {}
    for name, globs in named.items():
        files = sorted(str(p) for glob in globs for p in root.glob(glob.lstrip("/")))
        if files:
            found[name] = files
        else:
            print(f"{name}: no videos ({', '.join(globs)} in {root}), left out.")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="the folder of real clips")
    parser.add_argument("--videos", nargs="*", metavar="NAME=GLOB", help="other clips")
    parser.add_argument("--only", nargs="*", choices=STAGES, default=list(STAGES))
    parser.add_argument("--seconds", type=float, default=2.0, help="about, for a measurement")
    parser.add_argument("--clips", type=int, nargs="*", default=[2000, 8000, 24_000, 48_000],
                        help="of the stored features that a head learns from")  # fmt: skip
    parser.add_argument("--classes", type=int, default=101)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--engine-of-extraction", default="auto")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    parser.add_argument("--train-clips", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.engine:
        one_engine(given.engine, given.seconds)
        return
    if given.train_clips:
        one_training(given.train_clips, given.classes, given.work)
        return
    given.sets = sets_of(given)
    print(f"{machine()}\n")
    figures = []
    for name in given.only:
        for figure in STAGES[name](given):
            figures.append(figure)
            print(f"{figure.stage:<9} {figure.what:<48} {figure.value:>11,.4g} {figure.unit:<15} "
                  f"{figure.note}", flush=True)  # fmt: skip
    if given.json:
        given.json.write_text(
            json.dumps({"machine": machine(), "figures": [asdict(f) for f in figures]}, indent=1)
        )


if __name__ == "__main__":
    main()
