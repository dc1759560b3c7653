"""What Prometheus is told, and that no client can make it grow."""

from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families


def figures(server: Any) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    answer = server.http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_requests_and_their_times_are_counted(server: Any) -> None:
    before = figures(server)
    clip = server.clips[0].read_bytes()
    for _ in range(3):
        server.http.post("/v1/predict", files={"file": ("a.mp4", clip)})
    server.http.post("/v1/predict", files={"file": ("a.mp4", b"x" * 100)})
    after = figures(server)

    def grown(name: str, **labels: str) -> float:
        key = (name, tuple(sorted(labels.items())))
        return after[key] - before.get(key, 0.0)

    route = {"route": "/v1/predict"}
    assert grown("frameflow_requests_total", **route, method="POST", status="200") == 3
    assert grown("frameflow_requests_total", **route, method="POST", status="415") == 1
    assert grown("frameflow_refused_total", code="not_a_video") == 1
    assert grown("frameflow_request_seconds_count", **route) == 4
    assert grown("frameflow_read_seconds_count") == 3
    assert grown("frameflow_compute_seconds_count") == 3
    assert grown("frameflow_batch_size_sum") == 3
    assert (
        0 < grown("frameflow_compute_seconds_sum") < grown("frameflow_request_seconds_sum", **route)
    )


def test_the_state_of_the_server_is_told(server: Any) -> None:
    found = {name: value for (name, labels), value in figures(server).items() if not labels}
    assert found["frameflow_ready"] == 1
    assert found["frameflow_in_flight"] == 0
    assert found["frameflow_compute_waiting"] == 0
    assert found["frameflow_worker_restarts"] >= 0
    assert found["frameflow_jobs_queued"] == found["frameflow_jobs_running"] == 0
    assert found["frameflow_memory_bytes"] > 50e6
    assert found["frameflow_worker_memory_bytes"] > 10e6
    video = server.send(server.clips[0])
    more = {name: value for (name, labels), value in figures(server).items() if not labels}
    assert more["frameflow_uploads"] == found["frameflow_uploads"] + 1
    size = Path(server.clips[0]).stat().st_size
    assert more["frameflow_upload_bytes"] == found["frameflow_upload_bytes"] + size
    server.http.delete(f"/v1/videos/{video['id']}")


def test_no_client_makes_up_labels(server: Any) -> None:
    def ask(number: int) -> None:
        server.http.get(f"/made/up/{number}")
        server.http.get(f"/v1/jobs/{number}")
        server.http.get(f"/v1/videos/{number}/file")
        server.http.get(f"/v1/model?model={number}")
        server.http.get(f"/static/{number}.js")
        server.http.request(f"METHOD{number}", "/v1/models")
        server.http.post("/v1/predict", data={f"field{number}": "x", "video": f"{number}"})
        server.http.get("/healthz", headers={"Host": f"{number}.example"})

    ask(0)
    before = set(figures(server))
    for number in range(1, 15):
        ask(number)
    assert set(figures(server)) == before


def test_two_servers_count_apart(server: Any, make_server: Any) -> None:
    other = make_server(workers=1)
    key = ("frameflow_requests_total", (("method", "GET"), ("route", "/docs"), ("status", "200")))
    server.http.get("/docs")
    assert key in figures(server)
    assert key not in figures(other)
