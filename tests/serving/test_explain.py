"""Evidence over HTTP: that of the command line, as small pictures."""

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def test_evidence_is_that_of_the_command_line(server: Any) -> None:
    from PIL import Image

    from frameflow.inference.explain import Explainer
    from frameflow.inference.predictor import load_recognizer

    clip = server.clips[0]
    video = server.send(clip)["id"]
    answer = server.http.post("/v1/explain", data={"video": video})
    assert answer.status_code == 200, answer.text
    said = answer.json()
    own = Explainer(load_recognizer(server.run), side=480).explain(clip)
    assert (said["label"], said["predicted"]) == (own.label, own.predicted)
    assert said["probability"] == round(own.probability, 6)
    assert np.allclose(said["seconds"], own.seconds, atol=1e-3)
    assert said["attention"] is None
    assert said["streams"] == [{"name": "rgb", "share": 1.0}]
    pictures = own.overlay(attention=False)
    assert len(said["frames"]) == len(pictures) == 4
    head, _, data = said["frames"][1].partition(",")
    assert head == "data:image/jpeg;base64"
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))).astype(float)
    assert shown.shape == pictures[1].shape
    assert np.abs(shown - pictures[1]).mean() < 12


def test_another_label_can_be_asked_for(server: Any) -> None:
    clip = server.clips[0].read_bytes()
    told = [
        server.http.post(
            "/v1/explain", files={"file": ("a.mp4", clip)}, data={"label": label}
        ).json()
        for label in ("läuft, schnell", "sitzt", "winkt")
    ]
    assert [each["label"] for each in told] == ["läuft, schnell", "sitzt", "winkt"]
    assert abs(sum(each["probability"] for each in told) - 1) < 1e-4
    assert sum("note" in each for each in told) == 2
    assert server.service.uploads.count == len(server.service.uploads._kept)


def test_an_unknown_label_is_refused(server: Any) -> None:
    video = server.send(server.clips[0])["id"]
    answer = server.http.post("/v1/explain", data={"video": video, "label": "none"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid")


def test_a_heads_attention_is_told(
    make_server: Callable[..., Any], tmp_path: Path, served_clips: list[Path]
) -> None:
    from frameflow.config import load_recipe
    from frameflow.models.recognizer import build_recognizer

    recipe = load_recipe(
        "default",
        [
            "sampling.frames=4", "streams.0.backbone=resnet10t", "streams.0.weights=none",
            "streams.0.size=32", "head.name=bilstm-attention",
        ],
    )  # fmt: skip
    build_recognizer(recipe, ["a", "b"]).save(tmp_path / "run", {"clip_seconds": 1.0})
    server = make_server(runs=[(None, tmp_path / "run")])
    said = server.http.post(
        "/v1/explain", files={"file": ("a.mp4", served_clips[0].read_bytes())}
    ).json()
    assert len(said["attention"]) == len(said["frames"]) == 4
    assert abs(sum(said["attention"]) - 1) < 1e-3
