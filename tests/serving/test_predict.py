"""Predictions over HTTP: the same answers as without a server, whoever asks beside."""

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest


def predict(server: Any, clip: Path, **fields: Any) -> httpx.Response:
    return server.http.post(
        "/v1/predict", files={"file": (clip.name, clip.read_bytes())}, data=fields
    )


def expected(server: Any, clip: Path) -> Any:
    from frameflow.inference.predictor import load

    return load(server.run, engine="torch").predict(clip)


def test_an_upload_is_predicted_as_the_predictor_does(server: Any) -> None:
    clip = server.clips[2]
    answer = predict(server, clip, topk=2)
    assert answer.status_code == 200, answer.text
    said, wanted = answer.json(), expected(server, clip)
    assert said["label"] == wanted.label
    assert said["probability"] == round(wanted.probability, 6)
    assert [share["label"] for share in said["topk"]] == [label for label, _ in wanted.topk[:2]]
    assert (said["model"], said["video"], said["views"]) == ("run", clip.name, 1)
    assert (said["set"], said["abstained"]) == (None, False)
    assert abs(said["duration"] - 3.0) < 0.1
    timing = said["timing"]
    assert timing["total"] >= timing["read"] + timing["compute"] - 0.001 > 0


def test_an_id_stands_for_the_upload(server: Any) -> None:
    clip = server.clips[1]
    video = server.send(clip, "mein Film.mp4")
    said = server.http.post("/v1/predict", data={"video": video["id"]}).json()
    assert said["video"] == "mein Film.mp4"
    assert said["probability"] == round(expected(server, clip).probability, 6)


def test_many_clients_get_each_their_own_answer(server: Any) -> None:
    """Computed together, answered apart: each is what it would be alone."""
    alone = {clip: predict(server, clip).json()["topk"] for clip in server.clips}
    asked = [clip for clip in server.clips for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda clip: predict(server, clip).json()["topk"], asked))
    assert len({str(shares) for shares in alone.values()}) > 1, "the clips differ"
    assert together == [alone[clip] for clip in asked]


def test_every_frame_is_what_the_command_line_says(server: Any) -> None:
    from frameflow.inference.per_frame import iter_frame_rows
    from frameflow.inference.predictor import load

    clip = server.clips[1]
    answer = predict(server, clip, per_frame="true", rolling=2, window=0.5)
    assert answer.status_code == 200, answer.text
    said, found = answer.json(), answer.json()["per_frame"]
    own = load(server.run, engine="torch")
    rows = list(iter_frame_rows(own, clip, rolling=2, window=0.5))
    assert len(found["seconds"]) == len(rows) == 36
    assert found["labels"] == list(own.labels)
    assert found["seconds"] == [round(row.seconds, 3) for row in rows]
    wanted = [[round(float(p), 6) for p in row.probabilities] for row in rows]
    np.testing.assert_allclose(found["probabilities"], wanted, atol=2e-6)
    assert found["predictions"] == [own.labels[int(row.probabilities.argmax())] for row in rows]
    assert found["abstained"] == [False] * 36
    assert said["label"] == expected(server, clip).label
    assert "per_frame" not in predict(server, clip).json()


def test_frames_of_a_video_of_uneven_times_are_shown_when_they_are(
    server: Any, tmp_path: Path
) -> None:
    import av

    path, shown = tmp_path / "uneven.mp4", [0, 1, 2, 4, 8, 9, 15, 16, 20, 24]
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=12)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 12)
        for moment in shown:
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), moment, np.uint8), "rgb24")
            frame.pts, frame.time_base = moment, Fraction(1, 12)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    said = predict(server, path, per_frame="true", window=0.5).json()["per_frame"]
    assert said["seconds"] == [round(moment / 12, 3) for moment in shown]


def test_frames_are_as_many_as_a_client_waits_for(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("frameflow.serving.frames.MOST_FRAMES", 35)
    answer = predict(server, server.clips[1], per_frame="true")
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_long")
    assert answer.json()["error"]["cure"] == "Ask /v1/timeline, or cut the video."


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"model": "rnu"}, 404, "unknown_model"),
        ({"topk": "0"}, 422, "invalid"),
        ({"topk": "many"}, 422, "invalid"),
        ({"colour": "red"}, 422, "invalid"),
        ({"rolling": "3"}, 422, "invalid"),  # of what is not asked for
        ({"per_frame": "maybe"}, 422, "invalid"),
        ({"per_frame": "1", "rolling": "0"}, 422, "invalid"),
        ({"video": "x" * 22}, 422, "invalid"),  # beside a file
        ({"path": "00.mp4"}, 422, "invalid"),
    ],
)
def test_a_field_that_cannot_be_is_refused(
    server: Any, fields: dict[str, str], status: int, code: str
) -> None:
    before = server.service.uploads.count
    answer = predict(server, server.clips[0], **fields)
    assert server.service.uploads.count == before, "what was sent is deleted"
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_the_cure_names_the_models(server: Any) -> None:
    error = predict(server, server.clips[0], model="rnu").json()["error"]
    assert "Did you mean 'run'?" in error["cure"]


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({}, 422, "invalid"),
        ({"video": "x" * 22}, 404, "unknown_video"),
        ({"path": "clips/00.mp4"}, 403, "paths_off"),
    ],
)
def test_without_a_video_there_is_no_answer(
    server: Any, fields: dict[str, str], status: int, code: str
) -> None:
    answer = server.http.post("/v1/predict", data=fields or {"topk": "1"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_what_is_no_video_is_415(server: Any) -> None:
    answer = server.http.post("/v1/predict", files={"file": ("a.mp4", b"# text\n" * 50)})
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "not_a_video")


def test_what_is_one_no_more_is_422(server: Any) -> None:
    content = server.clips[0].read_bytes()
    answer = server.http.post("/v1/predict", files={"file": ("a.mp4", content[:200])})
    assert answer.status_code == 422, answer.text
    assert str(server.service.uploads.folder) not in answer.text


def test_several_runs_answer_by_name(
    make_server: Callable[..., Any], run_copy: Path, served: Path
) -> None:
    runs = [(None, served / "run"), ("zweiter", run_copy)]
    server = make_server(runs=runs, views=2, batch=1)
    said = predict(server, server.clips[0], model="zweiter").json()
    assert (said["model"], said["views"]) == ("zweiter", 2)
    assert predict(server, server.clips[0]).json()["model"] == "run"


# Too much, and clients that go away -----------------------------------------------------------


def hold(server: Any) -> socket.socket:
    """A client that begins an upload and does not go on."""
    host, port = server.url.removeprefix("http://").split(":")
    client = socket.create_connection((host, int(port)))
    client.sendall(
        b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
        b'Content-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n' + b"x" * 3000
    )
    return client


def until(condition: Callable[[], bool], *, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.01)


def test_beyond_the_bound_clients_are_told_to_come_back(make_server: Callable[..., Any]) -> None:
    server = make_server(queue=2)
    held = [hold(server), hold(server)]
    try:
        until(lambda: "frameflow_in_flight 2.0" in server.http.get("/metrics").text)
        begun = time.monotonic()
        answer = predict(server, server.clips[0])  # its body is not waited for
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "busy")
        assert int(answer.headers["retry-after"]) >= 1
        assert time.monotonic() - begun < 10
        assert server.http.get("/v1/models").status_code == 200, "looking is free"
    finally:
        for client in held:
            client.close()
    until(lambda: predict(server, server.clips[0]).status_code == 200)


def test_a_client_that_hangs_up_in_mid_upload_leaves_nothing(server: Any) -> None:
    before = server.service.uploads.count
    client = hold(server)
    until(lambda: server.service.uploads.count == before + 1)
    client.close()
    until(lambda: server.service.uploads.count == before)
    assert predict(server, server.clips[0]).status_code == 200


def test_a_client_that_hangs_up_while_waiting_is_not_computed(
    make_server: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from frameflow.serving import batching

    server = make_server(batch=1)
    busy, computed = threading.Event(), []
    real = batching.encode_together

    def slow(predictor: Any, clips: Any) -> Any:
        computed.append(len(clips))
        busy.wait(30)
        return real(predictor, clips)

    monkeypatch.setattr(batching, "encode_together", slow)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(predict, server, server.clips[0])
        until(lambda: computed == [1])
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                f"{server.url}/v1/predict",
                files={"file": ("a.mp4", server.clips[1].read_bytes())},
                timeout=httpx.Timeout(30, read=1.0),
            )
        until(lambda: server.service.uploads.count == 1)  # only the first one's is left
        busy.set()
        assert first.result().status_code == 200
    assert predict(server, server.clips[2]).status_code == 200
    assert computed == [1, 1], "the second is passed over"
    text = server.http.get("/metrics").text
    assert 'frameflow_refused_total{code="client_gone"} 1.0' in text
    assert server.service.uploads.count == 0
