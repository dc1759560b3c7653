"""What the server says of itself: types, examples, and a page that needs no network."""

import re
from typing import Any

ROUTES = {
    ("get", "/healthz"), ("get", "/readyz"), ("get", "/metrics"),
    ("get", "/v1/models"), ("get", "/v1/model"), ("get", "/v1/model/card"),
    ("get", "/v1/model/report"), ("post", "/v1/videos"), ("delete", "/v1/videos/{video}"),
    ("get", "/v1/videos/{video}/file"), ("get", "/v1/videos/{video}/preview"),
    ("post", "/v1/samples/{sample}"), ("post", "/v1/predict"), ("post", "/v1/timeline"),
    ("post", "/v1/explain"), ("get", "/v1/jobs/{job}"), ("delete", "/v1/jobs/{job}"),
    ("get", "/v1/jobs/{job}/timeline.{form}"),
}  # fmt: skip


def schema(server: Any) -> Any:
    return server.http.get("/openapi.json").json()


def test_every_route_is_told(server: Any) -> None:
    told = schema(server)
    found = {(method, path) for path, methods in told["paths"].items() for method in methods}
    assert found == ROUTES
    for path, methods in told["paths"].items():
        for said in methods.values():
            assert said["summary"][0].isupper(), path


def test_errors_have_examples_of_their_form(server: Any) -> None:
    for path, methods in schema(server)["paths"].items():
        for method, said in methods.items():
            for status, answer in said["responses"].items():
                if int(status) < 400:
                    continue
                content = answer["content"]["application/json"]
                error = content["example"]["error"]
                assert error["code"], (method, path, status)
                assert error["message"], (method, path, status)
                assert content["schema"]["$ref"].endswith("/Faults")


def test_forms_name_their_fields(server: Any) -> None:
    told = schema(server)["paths"]
    wanted = {
        "/v1/predict": {
            "file", "video", "path", "model", "topk", "per_frame", "rolling", "window",
        },
        "/v1/explain": {"file", "video", "path", "model", "label"},
        "/v1/timeline": {
            "file", "video", "path", "model", "window", "stride", "grid", "smooth", "enter",
            "leave", "shortest", "gap",
        },
        "/v1/videos": {"file"},
    }  # fmt: skip
    for path, fields in wanted.items():
        content = told[path]["post"]["requestBody"]["content"]["multipart/form-data"]
        assert set(content["schema"]["properties"]) == fields


def test_examples_are_what_answers_look_like(server: Any) -> None:
    """The keys of each example are those of a real answer."""
    models = schema(server)["components"]["schemas"]
    clip = server.clips[0].read_bytes()
    video = server.send(server.clips[0])
    assert set(models["Video"]["example"]) == set(video)
    answer = server.http.post("/v1/predict", files={"file": ("a.mp4", clip)}).json()
    assert set(models["Answer"]["example"]) == set(answer)
    job = server.http.post("/v1/timeline", data={"video": video["id"]}).json()
    job = server.wait(job["job"])
    example = models["JobState"]["example"]
    assert set(example) == set(job)
    assert set(example["result"]) == set(job["result"])
    assert set(example["result"]["segments"][0]) == set(job["result"]["segments"][0])
    evidence = server.http.post("/v1/explain", data={"video": video["id"]}).json()
    assert set(models["Evidence"]["properties"]) - {"note"} == set(evidence) - {"note"}
    listed = server.http.get("/v1/models").json()
    assert set(models["ModelList"]["properties"]) == set(listed)
    assert set(models["Model"]["properties"]) == set(listed["models"][0])


def test_the_list_of_routes_needs_no_network(server: Any) -> None:
    page = server.http.get("/docs").text
    assert "POST /v1/predict" in page
    assert "<script" not in page
    assert not re.search(r"(src|href)=\"(https?:)?//", page)
