"""Predictions over HTTP."""

from typing import Any


def test_an_upload_is_predicted_as_the_predictor_does(server: Any) -> None:
    from frameflow.inference.predictor import load

    clip = server.clips[2]
    answer = server.http.post("/v1/predict", files={"file": ("clip.mp4", clip.read_bytes())})
    assert answer.status_code == 200, answer.text
    said, expected = answer.json(), load(server.run, engine="torch").predict(clip)
    assert said["label"] == expected.label
    assert said["probability"] == round(expected.probability, 6)
    assert [share["label"] for share in said["topk"]] == [label for label, _ in expected.topk]
    assert said["video"] == "clip.mp4"
    assert abs(said["duration"] - 3.0) < 0.1
    assert said["timing"]["total"] >= said["timing"]["compute"] > 0
