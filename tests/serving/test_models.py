"""What the models are: lists, details, cards, and runs that disappear."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from frameflow.errors import UsageError
from frameflow.serving.models import check_runs, unique_names

LABELS = ["läuft, schnell", "sitzt", "winkt"]


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ([(None, "a/run")], ["run"]),
        ([(None, "a/run"), (None, "b/run"), (None, "c/run")], ["run", "run-2", "run-3"]),
        ([(None, "a/run"), ("run", "b/other")], ["run-2", "run"]),  # what is given stays
        ([(None, "run"), (None, "x/run-2"), (None, "y/run")], ["run", "run-2", "run-3"]),
    ],
)
def test_names_are_unique(given: list[tuple[str | None, str]], names: list[str]) -> None:
    runs = [(name, Path(folder)) for name, folder in given]
    assert [name for name, _ in unique_names(runs)] == names


def test_one_name_for_two_runs_is_refused(served: Path) -> None:
    with pytest.raises(UsageError, match="Two runs are named 'a'"):
        unique_names([("a", served / "run"), ("a", served / "run")])
    with pytest.raises(UsageError, match="No run is named"):
        unique_names([])
    with pytest.raises(UsageError, match="is no finished run"):
        check_runs([(None, served / "run"), (None, served / "clips")])


def test_models_are_listed(server: Any) -> None:
    said = server.http.get("/v1/models").json()
    (model,) = said["models"]
    assert (model["name"], model["labels"], model["default"]) == ("run", LABELS, True)
    assert (model["recipe"], model["frames"], model["multilabel"]) == ("default", 4, False)
    assert (model["sets"], model["coverage"], model["clip_seconds"]) == (False, None, 1.0)
    score = {"metric": "top1", "value": 0.5, "low": 0.1, "high": 0.9}
    assert model["score"] == {**score, "note": "2 test samples of 2 groups"}
    assert said["auth"] is False
    limits = server.service.settings.limits
    assert said["limits"] == {"bytes": limits.bytes, "seconds": limits.seconds_of_video}
    assert {sample["name"] for sample in said["samples"]} == {f"{n:02d}.mp4" for n in range(6)}
    labelled = [sample for sample in said["samples"] if "label" in sample]
    assert [(sample["name"], sample["label"]) for sample in labelled] == [("05.mp4", "sitzt")]


def test_a_model_is_told_whole(server: Any) -> None:
    said = server.http.get("/v1/model?model=run").json()
    assert said["engine"] == "torch"
    assert said["preprocessing"][0]["size"] == 32
    assert said["head"]["head"] == "mean"
    assert said["versions"]["serving"]["python"]
    assert str(server.run) not in server.http.get("/v1/model").text, "paths are not told"


def test_the_card_is_a_page_without_foreign_html(server: Any) -> None:
    answer = server.http.get("/v1/model/card")
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    page = answer.text
    assert "<h1>A tiny run</h1>" in page
    assert "<td>2</td>" in page
    assert "tags:" not in page, "front matter is for programs"
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert 'href="javascript' not in page
    assert "<img" not in page


def test_the_report_is_shown_in_a_sandbox(server: Any) -> None:
    answer = server.http.get("/v1/model/report")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts; default-src 'none'")
    assert "allow-same-origin" not in policy
    assert "connect-src" not in policy, "default-src 'none' holds"
    assert answer.text == (server.run / "report.html").read_text()


def test_a_run_without_report_says_so(make_server: Callable[..., Any], run_copy: Path) -> None:
    for name in ("report.html", "metrics.json"):
        (run_copy / name).unlink()
    server = make_server(runs=[(None, run_copy)])
    (model,) = server.http.get("/v1/models").json()["models"]
    assert (model["report"], model["score"]) == (None, None)
    assert model["card"]
    answer = server.http.get("/v1/model/report")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "no_file")


def test_a_run_that_disappears_goes_on_predicting(
    make_server: Callable[..., Any], run_copy: Path
) -> None:
    server = make_server(runs=[("copy", run_copy)])
    before = server.http.post(
        "/v1/predict", files={"file": ("a.mp4", server.clips[0].read_bytes())}
    )
    shutil.rmtree(run_copy)
    after = server.http.post("/v1/predict", files={"file": ("a.mp4", server.clips[0].read_bytes())})
    assert after.status_code == 200
    assert after.json()["topk"] == before.json()["topk"]
    ready = server.http.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"status": "ready", "gone": ["copy"]})
    for page in ("card", "report"):
        answer = server.http.get(f"/v1/model/{page}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "run_gone")
    assert server.http.get("/v1/model").json()["folder_present"] is False
    (model,) = server.http.get("/v1/models").json()["models"]
    assert (model["card"], model["score"]["value"]) == (None, 0.5)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/readyz"), ("GET", "/v1/models"), ("GET", "/v1/model"), ("GET", "/v1/model/card"),
        ("POST", "/v1/predict"), ("POST", "/v1/explain"),
    ],
)  # fmt: skip
def test_while_models_are_loaded_it_says_so(served: Path, method: str, path: str) -> None:
    """The application as it is before its start has got anywhere: nothing is received."""
    from frameflow.serving.app import build_app
    from frameflow.serving.settings import Settings

    app, _ = build_app([("run", served / "run")], Settings())

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            return [await http.request(method, path), await http.get("/healthz")]

    answer, alive = asyncio.run(ask())
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "starting")
    assert answer.headers["retry-after"]
    assert alive.status_code == 200


def test_a_set_is_told(make_server: Callable[..., Any], run_copy: Path) -> None:
    """A model with prediction sets, which are those of the predictor."""
    from frameflow.evaluation.abstain import Refusal
    from frameflow.inference.predictor import load
    from frameflow.models.recognizer import Recognizer

    recognizer = Recognizer.load(run_copy)
    refusal = Refusal(0.2, 0.7, 0.99, 0.9, 0.1, 20, 10, "groups")
    recognizer.save(run_copy, {**recognizer.extra, "refusal": refusal.to_dict()})
    server = make_server(runs=[(None, run_copy)])
    (model,) = server.http.get("/v1/models").json()["models"]
    assert (model["sets"], model["coverage"]) == (True, 0.8)
    said = server.http.post(
        "/v1/predict", files={"file": ("a.mp4", server.clips[0].read_bytes())}
    ).json()
    wanted = load(run_copy, engine="torch").predict(server.clips[0])
    assert wanted.set is not None
    assert (said["set"], said["abstained"]) == (list(wanted.set), wanted.abstained)
