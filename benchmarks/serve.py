"""How fast does a warm server answer, and does its memory stay flat?

    python benchmarks/serve.py
    python benchmarks/serve.py --run runs/first --clip match.mp4 --memory-requests 2000

Starts `frameflow serve` as a process of its own and sends it one clip over and over from threads of
this one, each with a connection of its own: one clip of 7 seconds, 320 x 240, 25 frames a second,
H.264. By default the clip is drawn and the run untrained (EfficientNet-Lite0 at 224 px, 16 frames,
linear head): the time is the same. Of each number of clients it prints

    median   seconds from the first byte sent to the last byte received
    95th     percentile of it
    a second requests that were answered

with batching (up to 8 requests computed together) and without, in turns; the same of one client
while the timeline of a long video is computed; then the memory of the server and of its decoding
processes while many requests are answered by 8 clients.
"""

import argparse
import http.client
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

SECONDS, RATE, WIDTH, HEIGHT = 7, 25, 320, 240
BOUNDARY = "frameflowbenchmark"
KIND = f"multipart/form-data; boundary={BOUNDARY}"
REPEATS = 20  # of the clip in the long video


def drawn_clip(path: Path) -> Path:
    """A person who moves, 7 seconds long."""
    from frameflow.video.synthetic import action_names, render_clip
    from frameflow.video.write import write_video

    size = {"width": WIDTH, "height": HEIGHT}
    frames = render_clip(action_names()[0], seed=1, frames=SECONDS * RATE, **size)
    write_video(path, frames, rate=RATE)
    return path


def fitted_clip(source: Path, path: Path) -> Path:
    """A real clip, repeated until it lasts 7 seconds, in the size of UCF101's."""
    from frameflow.video.decode import read_frames
    from frameflow.video.probe import probe
    from frameflow.video.write import write_video

    info = probe(source)
    places = np.round(np.arange(SECONDS * RATE) * info.rate / RATE).astype(int) % info.frames
    write_video(path, read_frames(source, places, size=(WIDTH, HEIGHT)), rate=RATE)
    return path


def repeated_clip(clip: Path, path: Path) -> Path:
    """A long video: the clip again and again."""
    from frameflow.video.decode import read_frames
    from frameflow.video.write import write_video

    frames = read_frames(clip, np.tile(np.arange(SECONDS * RATE), REPEATS))
    write_video(path, frames, rate=RATE)
    return path


def untrained_run(folder: Path) -> Path:
    """A run that answers at random, as fast as one that was trained."""
    from frameflow.config import load_recipe
    from frameflow.models.recognizer import build_recognizer

    recipe = load_recipe("default")
    recognizer = build_recognizer(recipe, [f"action {number}" for number in range(10)])
    recognizer.save(folder, {"clip_seconds": 2.0})
    return folder


@contextmanager
def server(run: Path, *options: str) -> Iterator[tuple[int, int]]:
    """(port, process id) of a warm server."""
    command = "from frameflow.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", command, "serve", str(run), "--port", "0", *options],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        said = ""
        while not (found := re.search(r"127\.0\.0\.1:(\d+)", said)):
            line = process.stderr.readline()
            assert line, f"the server ended:\n{said}"
            said += line
        threading.Thread(target=process.stderr.read, daemon=True).start()
        port = int(found[1])
        while ask(port, "/readyz")[0] != 200:
            time.sleep(0.1)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(timeout=60)


def ask(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path)
    answer = connection.getresponse()
    found = (answer.status, answer.read())
    connection.close()
    return found


def form_of(clip: Path) -> bytes:
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="clip.mp4"\r\n'
        "Content-Type: video/mp4\r\n\r\n"
    )
    return head.encode() + clip.read_bytes() + f"\r\n--{BOUNDARY}--\r\n".encode()


def send(port: int, path: str, body: bytes) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", path, body, {"Content-Type": KIND})
    answer = connection.getresponse()
    said = answer.read()
    assert answer.status < 300, said
    connection.close()
    return said


def load(port: int, body: bytes, *, clients: int, requests: int) -> tuple[np.ndarray, float]:
    """Seconds of each request, and of all of them."""
    taken: list[float] = []
    left = iter(range(requests))
    lock = threading.Lock()

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        while True:
            with lock:
                if next(left, None) is None:
                    break
            begun = time.perf_counter()
            connection.request("POST", "/v1/predict", body, {"Content-Type": KIND})
            answer = connection.getresponse()
            said = answer.read()
            seconds = time.perf_counter() - begun
            assert answer.status == 200, said
            taken.append(seconds)
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return np.array(taken), time.perf_counter() - begun


def metric(port: int, name: str) -> float:
    text = ask(port, "/metrics")[1].decode()
    return float(re.search(rf"^{name} (\S+)$", text, re.MULTILINE)[1])  # type: ignore[index]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help="default: untrained")
    parser.add_argument("--clip", type=Path, help="a real clip, to be fitted; default: drawn")
    parser.add_argument("--requests", type=int, default=64, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="with and without, in turns")
    parser.add_argument("--memory-requests", type=int, default=2000)
    parser.add_argument("--engine", default="auto")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "clip.mp4"
        clip = fitted_clip(options.clip, made) if options.clip else drawn_clip(made)
        run = options.run or untrained_run(Path(folder) / "run")
        body = form_of(clip)
        print(f"clip: {SECONDS} s, {WIDTH} x {HEIGHT}, {len(body) / 1024:.0f} KB; run: {run.name}")
        compare(run, body, options)
        beside(run, body, form_of(repeated_clip(clip, Path(folder) / "long.mp4")), options)
        if options.memory_requests:
            memory(run, body, options)
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} cores, "
        f"load average {os.getloadavg()[0]:.1f}"
    )


def compare(run: Path, body: bytes, options: argparse.Namespace) -> None:
    engine = ("--engine", options.engine)
    found: dict[tuple[str, int], list[tuple[np.ndarray, float]]] = {}
    with server(run, *engine) as (together, _), server(run, *engine, "--batch", "1") as (alone, _):
        ports = {"batched": together, "one by one": alone}
        for port in ports.values():
            load(port, body, clients=2, requests=8)
        for _ in range(options.rounds):
            for name, port in ports.items():
                for clients in (1, 8):
                    count = options.requests if clients > 1 else max(8, options.requests // 4)
                    one = load(port, body, clients=clients, requests=count)
                    found.setdefault((name, clients), []).append(one)
        batches = metric(together, "frameflow_batch_size_sum")
        batches /= metric(together, "frameflow_batch_size_count")
    print(f"{'':<12}{'clients':>8}{'median':>10}{'95th':>10}{'a second':>10}")
    for (name, clients), runs in sorted(found.items()):
        seconds = np.concatenate([one for one, _ in runs])
        rate = len(seconds) / sum(total for _, total in runs)
        middle, high = np.percentile(seconds, (50, 95)) * 1000
        print(f"{name:<12}{clients:>8}{middle:>7.0f} ms{high:>7.0f} ms{rate:>10.1f}")
    print(f"batched: {batches:.2f} requests together on average, 1 client's included")


def beside(run: Path, body: bytes, long: bytes, options: argparse.Namespace) -> None:
    with server(run, "--engine", options.engine) as (port, _):
        load(port, body, clients=1, requests=4)
        alone, _ = load(port, body, clients=1, requests=options.requests // 4)
        job = json.loads(send(port, "/v1/timeline", long))["job"]
        taken = []
        while json.loads(ask(port, f"/v1/jobs/{job}")[1])["state"] in ("queued", "running"):
            taken += load(port, body, clients=1, requests=1)[0].tolist()
    for name, seconds in (("alone", alone), ("beside a timeline", np.array(taken))):
        middle, high = np.percentile(seconds, (50, 95)) * 1000
        print(f"1 client {name}: median {middle:.0f} ms, 95th {high:.0f} ms of {len(seconds)}")


def memory(run: Path, body: bytes, options: argparse.Namespace) -> None:
    print(f"{'requests':>10}{'server':>12}{'workers':>12}{'restarts':>10}")
    with server(run, "--engine", options.engine) as (port, _):
        load(port, body, clients=8, requests=64)
        done, steps = 64, 8
        while True:
            own = metric(port, "frameflow_memory_bytes") / 2**20
            workers = metric(port, "frameflow_worker_memory_bytes") / 2**20
            restarts = metric(port, "frameflow_worker_restarts")
            print(f"{done:>10}{own:>9.0f} MB{workers:>9.0f} MB{restarts:>10.0f}", flush=True)
            if done >= options.memory_requests:
                break
            step = min(options.memory_requests // steps, options.memory_requests - done)
            load(port, body, clients=8, requests=max(step, 1))
            done += max(step, 1)


if __name__ == "__main__":
    main()
