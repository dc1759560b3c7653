"""A job on an S3 server of this machine beside the same job on a folder: seconds and bytes.

    python benchmarks/remote.py
    python benchmarks/remote.py --clips 200 --megabytes 500

Every row is a command of its own. "first" knows nothing, "again" repeats it, "another machine" has
an empty home and finds the features in the store. The second table moves single objects without
their use. The server (moto) and the jobs share the machine, so these are the costs of the requests
and of this client, not those of a network.
"""

import argparse
import csv
import io
import logging
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training import machine

BUCKET = "clips"


class Requests(logging.Handler):
    """Counts what the server was asked for, and the bytes of the objects that it gave."""

    def __init__(self) -> None:
        super().__init__()
        self.clear()

    def clear(self) -> None:
        self.requests, self.videos, self.bytes = 0, 0, 0

    def emit(self, record: logging.LogRecord) -> None:
        said = record.getMessage()
        self.requests += 1
        found = re.search(rf'"GET /{BUCKET}/([^ ?]+) HTTP', said)
        if found:
            self.videos += found[1].endswith((".mp4", ".avi"))
            self.bytes += SIZES.get(found[1], 0)


SIZES: dict[str, int] = {}


@contextmanager
def server(log: Requests) -> Iterator[None]:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.INFO)
    logging.getLogger("werkzeug").addHandler(log)
    logging.getLogger("werkzeug").propagate = False
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    os.environ.update(
        AWS_ACCESS_KEY_ID="testing", AWS_SECRET_ACCESS_KEY="testing",
        AWS_DEFAULT_REGION="us-east-1", AWS_ENDPOINT_URL=f"http://{host}:{port}",
    )  # fmt: skip
    try:
        yield
    finally:
        running.stop()


def chosen(given: argparse.Namespace) -> tuple[list[str], str]:
    """The videos, and the manifest of them as text."""
    with (given.videos / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["label"] in given.classes]
    rows = rows[:: max(1, len(rows) // given.clips)][: given.clips]
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    return [row["video"] for row in rows], text.getvalue()


def measure(title: str, words: list[str], home: Path, store: str, log: Requests) -> None:
    """Run a command, and print a row."""
    SIZES.update(sizes())
    log.clear()
    environment = os.environ | {"FRAMEFLOW_HOME": str(home), "FRAMEFLOW_STORE": store}
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "frameflow", *words], env=environment, capture_output=True, text=True
    )
    seconds = time.perf_counter() - begun
    if done.returncode:
        sys.exit(done.stderr)
    computed = re.search(r"Stored (\d+) clips", done.stderr)
    print(
        f"{title:42} {seconds:8.1f} {computed[1] if computed else 0:>9} {log.requests:9} "
        f"{log.videos:7} {log.bytes / 1e6:8.2f}",
        flush=True,
    )


def sizes() -> dict[str, int]:
    import fsspec

    fs = fsspec.filesystem("s3")
    fs.invalidate_cache()
    found = fs.find(BUCKET, detail=True)
    return {path.partition("/")[2]: entry["size"] for path, entry in found.items()}


def jobs(given: argparse.Namespace, folder: Path, log: Requests) -> None:
    import fsspec

    videos, text = chosen(given)
    fs = fsspec.filesystem("s3")
    fs.mkdir(BUCKET)
    for video in videos:
        fs.put_file(str(given.videos / video), f"{BUCKET}/{video}")
        (folder / "local" / video).parent.mkdir(parents=True, exist_ok=True)
        (folder / "local" / video).write_bytes((given.videos / video).read_bytes())
    fs.pipe_file(f"{BUCKET}/manifest.csv", text.encode())
    (folder / "local" / "manifest.csv").write_text(text, encoding="utf-8")
    total = sum(size for path, size in sizes().items() if path != "manifest.csv")
    print(f"{len(videos)} clips, {total / 1e6:.2f} MB\n")
    print(f"{'job':42} {'seconds':>8} {'extracted':>9} {'requests':>9} {'videos':>7} {'MB got':>8}")
    ways = {
        "folder": (str(folder / "local/manifest.csv"), str(folder / "features")),
        "S3": (f"s3://{BUCKET}/manifest.csv", f"s3://{BUCKET}/features"),
    }
    for way, (manifest, store) in ways.items():
        home = folder / f"home {way}"
        for title in ("first", "again"):
            measure(f"{way}: data check, {title}", ["data", "check", manifest], home, store, log)
        for title in ("first", "again"):
            words = ["features", manifest, "--engine", given.engine]
            measure(f"{way}: features, {title}", words, home, store, log)
        train = ["train", manifest, "--fold", "0", "--engine", given.engine]
        measure(f"{way}: train", [*train, "-o", str(folder / f"run {way}")], home, store, log)
    other = folder / "another machine"
    words = ["features", ways["S3"][0], "--engine", given.engine]
    measure("S3: features, another machine", words, other, ways["S3"][1], log)
    train = ["train", ways["S3"][0], "--fold", "0", "--engine", given.engine]
    measure(
        "S3: train, another machine", [*train, "-o", str(folder / "run other")], other,
        ways["S3"][1], log,
    )  # fmt: skip


def single(given: argparse.Namespace, folder: Path) -> None:
    """One large object: to the bucket, from it, and as a copy of a file."""
    from frameflow import remote
    from frameflow._places import path_of

    os.environ["FRAMEFLOW_HOME"] = str(folder / "single")
    large, url = folder / "large.mp4", f"s3://{BUCKET}/large.mp4"
    large.write_bytes(os.urandom(1 << 20) * given.megabytes)
    print(f"\n{'one object':42} {'seconds':>8} {'MB/s':>9}")

    def row(title: str, begun: float) -> None:
        seconds = time.perf_counter() - begun
        print(f"{title:42} {seconds:8.2f} {large.stat().st_size / 1e6 / seconds:9.0f}", flush=True)

    begun = time.perf_counter()
    remote.put(large, url)
    row("sent", begun)
    begun = time.perf_counter()
    remote.ensure(path_of(url))
    row("fetched", begun)
    begun = time.perf_counter()
    with remote.held(path_of(url)), open(path_of(url), "rb") as file:
        while file.read(1 << 20):
            pass
    row("read from the copy", begun)
    begun = time.perf_counter()
    (folder / "copy.mp4").write_bytes(large.read_bytes())
    row("a file copied", begun)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(__file__).parents[2] / "shared" / "data" / "tennis7"
    parser.add_argument("--videos", type=Path, default=default, help="with a manifest.csv of folds")
    parser.add_argument("--classes", nargs="+", default=["Serve", "Forehand", "Backhand"])
    parser.add_argument("--clips", type=int, default=40, help="how many")
    parser.add_argument("--engine", default="onnxruntime")
    parser.add_argument("--megabytes", type=int, default=200, help="of the single object")
    given = parser.parse_args()
    print(machine())
    log = Requests()
    with tempfile.TemporaryDirectory() as name, server(log):
        jobs(given, Path(name), log)
        single(given, Path(name))


if __name__ == "__main__":
    main()
