"""Timelines over HTTP: the same as without a server, decoded in another process."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frameflow.serving.jobs import Found
from frameflow.serving.routes.timeline import result_of


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory, served_clips: list[Path]) -> Path:
    """Twelve seconds: four clips one after the other."""
    from frameflow.video.decode import read_frames
    from frameflow.video.write import write_video

    path = tmp_path_factory.mktemp("long") / "lang, lang.mp4"
    parts = [read_frames(clip, range(36)) for clip in served_clips[:4]]
    write_video(path, np.concatenate(parts), rate=12)
    return path


def begin(server: Any, path: Path, **fields: Any) -> Any:
    return server.http.post(
        "/v1/timeline", files={"file": (path.name, path.read_bytes())}, data=fields
    )


def test_a_timeline_is_that_of_the_command_line(server: Any, long_clip: Path) -> None:
    from frameflow.inference.predictor import load
    from frameflow.inference.timeline.compute import timeline
    from frameflow.inference.timeline.segments import SegmentRule, find_segments

    answer = begin(server, long_clip, window=2, stride=0.5, grid=6, enter=0.4, leave=0.2)
    assert answer.status_code == 202, answer.text
    assert answer.json()["state"] in ("queued", "running")
    job = server.wait(answer.json()["job"])
    assert (job["state"], job["progress"]) == ("done", 1.0), job
    result = job["result"]
    own = timeline(load(server.run, engine="torch"), long_clip, window=2, stride=0.5, grid=6)
    assert result["labels"] == list(own.labels)
    assert np.allclose(result["starts"], own.starts, atol=1e-3)
    assert np.allclose(result["ends"], own.ends, atol=1e-3)
    assert np.allclose(result["probabilities"], own.probabilities, atol=1e-4)
    segments = find_segments(own, SegmentRule(enter=0.4, leave=0.2))
    assert len(segments) > 0
    assert [s["label"] for s in result["segments"]] == [s.label for s in segments]
    assert (result["video"], result["duration"]) == ("lang, lang.mp4", round(own.duration, 3))
    assert result["plan"] == {"length": 2.0, "stride": 0.5, "grid": 6.0, "ending": False}
    assert "thinned" not in result
    assert server.service.uploads.count == 0, "what was sent is deleted"


def test_it_can_be_downloaded(server: Any, long_clip: Path) -> None:
    video = server.send(long_clip, "Über 1.mp4")
    answer = server.http.post("/v1/timeline", data={"video": video["id"]})
    job = server.wait(answer.json()["job"])
    files = {}
    for form in ("csv", "json", "vtt", "srt", "eaf"):
        got = server.http.get(f"/v1/jobs/{job['job']}/timeline.{form}")
        assert got.status_code == 200, got.text
        disposition = got.headers["content-disposition"]
        assert disposition.startswith('attachment; filename="timeline.')
        assert disposition.endswith(f"filename*=UTF-8''%C3%9Cber%201.{form}")
        files[form] = got.text
    rows = list(csv.DictReader(io.StringIO(files["csv"])))
    assert len(rows) == len(job["result"]["segments"])
    assert json.loads(files["json"])
    assert files["vtt"].startswith("WEBVTT")
    assert "<ANNOTATION_DOCUMENT" in files["eaf"]
    assert server.http.get(f"/v1/videos/{video['id']}/file").status_code == 200, "it is kept"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"window": "0"}, "window"),
        ({"window": "nan"}, "window"),
        ({"window": "long"}, "window"),
        ({"stride": "-1"}, "stride"),
        ({"grid": "100"}, "at most the video's rate"),
        ({"window": "3600", "grid": "12"}, "moments"),
        ({"stride": "0.00001"}, "windows"),
        ({"enter": "2"}, "enter"),
        ({"enter": "0.2", "leave": "0.6"}, "leave"),
        ({"gap": "-1"}, "gap"),
        ({"topk": "3"}, "unknown field"),
    ],
)
def test_windows_that_cannot_be_are_refused_at_once(
    server: Any, long_clip: Path, fields: dict[str, str], said: str
) -> None:
    answer = begin(server, long_clip, **fields)
    assert answer.status_code == 422, answer.text
    assert said in answer.json()["error"]["message"]
    assert server.service.uploads.count == len(server.service.uploads._kept)


def test_a_model_that_does_not_know_its_window_asks_for_it(
    make_server: Callable[..., Any], run_copy: Path, long_clip: Path
) -> None:
    from frameflow.models.recognizer import Recognizer

    Recognizer.load(run_copy).save(run_copy, {})
    (run_copy / "manifest.csv").unlink()
    server = make_server(runs=[(None, run_copy)])
    assert server.http.get("/v1/models").json()["models"][0]["clip_seconds"] is None
    error = begin(server, long_clip).json()["error"]
    assert (error["code"], error["cure"]) == ("invalid", "Send the field window, in seconds.")
    answer = begin(server, long_clip, window=1)
    assert server.wait(answer.json()["job"])["state"] == "done"


def test_what_is_no_video_never_becomes_a_job(server: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"plain text\n" * 30)
    assert begin(server, path).status_code == 415


def test_a_full_queue_says_so_before_it_reads(
    make_server: Callable[..., Any], long_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from frameflow.serving.routes import timeline as route

    server = make_server(jobs=1)
    monkeypatch.setattr(route, "_timeline", _until_cancelled)
    first = begin(server, long_clip).json()
    while server.http.get(f"/v1/jobs/{first['job']}").json()["state"] != "running":
        pass
    second = begin(server, long_clip).json()
    refused = begin(server, long_clip)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "busy")
    assert refused.headers["retry-after"]
    early = server.http.get(f"/v1/jobs/{first['job']}/timeline.csv")
    assert (early.status_code, early.json()["error"]["code"]) == (409, "not_ready")
    text = server.http.get("/metrics").text
    assert "frameflow_jobs_queued 1.0" in text
    assert "frameflow_jobs_running 1.0" in text
    assert server.service.uploads.count == 2
    for job in (second, first):
        cancelled = server.http.delete(f"/v1/jobs/{job['job']}")
        assert cancelled.status_code == 200
        assert server.wait(job["job"])["state"] == "cancelled"
    assert server.service.uploads.count == 0
    assert 'frameflow_jobs_total{state="cancelled"} 2.0' in server.http.get("/metrics").text


def _until_cancelled(*arguments: Any) -> Any:
    from frameflow.serving.jobs import Stopped

    job = arguments[-1]
    assert job._cancel.wait(60)
    raise Stopped


def test_the_real_work_stops_when_it_is_cancelled(server: Any, long_clip: Path) -> None:
    """Cancelled as soon as it runs: it ends early, and its process serves the next."""
    job = begin(server, long_clip, stride=0.01, grid=12).json()["job"]
    server.http.delete(f"/v1/jobs/{job}")
    assert server.wait(job)["state"] in ("cancelled", "done")
    assert server.service.uploads.count == len(server.service.uploads._kept)
    after = begin(server, long_clip).json()["job"]
    assert server.wait(after)["state"] == "done"


def test_a_long_result_is_thinned_and_says_so() -> None:
    from frameflow.inference.timeline.compute import Timeline
    from frameflow.inference.timeline.plan import WindowPlan

    count = 7001
    starts = np.arange(count) * 0.5
    line = Timeline(
        video="v.mp4", labels=("a", "b"), starts=starts, ends=starts + 2,
        probabilities=np.full((count, 2), 0.5, np.float32), abstained=np.zeros(count, bool),
        duration=count / 2 + 1.5, rate=25.0, width=64, height=48,
        plan=WindowPlan(2.0, 0.5, 8.0), multilabel=False,
    )  # fmt: skip
    said = result_of(Found(line, []))
    assert (said["thinned"], said["windows"]) == (True, count)
    assert len(said["starts"]) == len(said["ends"]) == len(said["probabilities"]) == 2000
    assert (said["starts"][0], said["starts"][-1]) == (0.0, starts[-1])
    json.dumps(said, allow_nan=False)
