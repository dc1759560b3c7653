"""Prediction of single videos, and of those that cannot be read."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from frameflow.errors import UsageError, VideoError
from frameflow.evaluation.calibration import Calibration
from frameflow.inference.predictor import Prediction, Result, load
from frameflow.inference.results import write_csv
from frameflow.models.recognizer import Recognizer


def test_one_video(run: Path, clips: list[Path]) -> None:
    found = load(run, engine="torch").predict(clips[0], topk=2)
    assert (found.video, found.views) == (str(clips[0]), 1)
    assert found.probabilities.shape == (3,)
    assert found.probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert found.label == found.labels[int(found.probabilities.argmax())]
    assert found.topk[0] == (found.label, found.probability)
    assert len(found.topk) == 2
    assert found.topk[0][1] >= found.topk[1][1]
    assert repr(found).startswith(f"Prediction({str(clips[0])!r}: {found.label} 0.")
    values = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert values["topk"][0] == {"label": found.label, "probability": found.probability}


def test_more_classes_asked_for_than_there_are(run: Path, clips: list[Path]) -> None:
    assert len(load(run, engine="torch").predict(clips[0], topk=9).topk) == 3


def test_clips_and_features_read_elsewhere_are_predicted_as_the_video(
    run: Path, clips: list[Path]
) -> None:
    predictor = load(run, engine="torch", views=2)
    whole = predictor.predict(clips[0], topk=2)
    read = predictor.encoder.read(clips[0])
    features, mask = predictor.encoder.encode(read)
    for found in (
        predictor.from_clips("a", read, topk=2),
        predictor.from_features("a", features, mask, topk=2),
        predictor.from_probabilities("a", whole.probabilities, topk=2, views=2),
    ):
        assert found.to_dict() == whole.to_dict() | {"video": "a"}
        np.testing.assert_array_equal(found.probabilities, whole.probabilities)
    with pytest.raises(UsageError, match=r"topk \(0\) must be > 0"):
        predictor.from_clips("a", read, topk=0)


def test_what_cannot_be_read_keeps_its_place_and_the_others_are_predicted(
    run: Path, clips: list[Path], tmp_path: Path
) -> None:
    clips[1].write_bytes(b"")
    clips[2].write_text("no video at all", encoding="utf-8")
    folder, missing = tmp_path / "empty folder", tmp_path / "missing.mp4"
    folder.mkdir()
    given = [clips[0], clips[1], missing, clips[2], folder, clips[3]]
    results = load(run, engine="torch").predict(given)
    assert [isinstance(result, Prediction) for result in results] == [
        True, False, False, False, False, True,
    ]  # fmt: skip
    for path, result in zip(given[1:5], results[1:5]):
        assert isinstance(result, VideoError)
        assert result.path == str(path)
        assert result.reason
        assert str(path) not in result.reason
    assert isinstance(results[5], Prediction)
    alone = load(run, engine="torch").predict(clips[3])
    np.testing.assert_array_equal(results[5].probabilities, alone.probabilities)


def test_one_video_that_cannot_be_read_is_raised(run: Path, tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"missing\.mp4: "):
        load(run, engine="torch").predict(tmp_path / "missing.mp4")


def test_the_stream_may_be_left_early(run: Path, clips: list[Path]) -> None:
    stream = load(run, engine="torch").stream(clips)
    first = next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert isinstance(first, Prediction)


def test_only_a_few_videos_are_decoded_ahead(run: Path, clips: list[Path]) -> None:
    taken = 0

    def endless() -> object:
        nonlocal taken
        while True:
            taken += 1
            yield clips[taken % len(clips)]

    stream = load(run, engine="torch").stream(endless())  # type: ignore[arg-type]
    next(stream)
    assert taken <= 4
    stream.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("topk", [0, -2])
def test_topk_must_be_positive(run: Path, clips: list[Path], topk: int) -> None:
    with pytest.raises(UsageError, match=rf"topk \({topk}\) must be > 0"):
        load(run, engine="torch").predict(clips[0], topk=topk)


def test_views_must_be_positive(run: Path) -> None:
    with pytest.raises(UsageError, match=r"views \(0\) must be > 0"):
        load(run, views=0)


def test_no_such_run_and_no_run(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no run .*missing"):
        load(tmp_path / "missing")
    with pytest.raises(UsageError, match="is a file: name the folder of a run"):
        load(run / "model.json")
    with pytest.raises(UsageError, match=r"is no finished run.*Did you mean .*first run"):
        load(run.parent)
    (tmp_path / "other").mkdir()
    with pytest.raises(UsageError, match="`frameflow train` writes runs"):
        load(tmp_path / "other")


def test_an_interrupted_run_says_how_to_go_on(run: Path) -> None:
    (run / "model.safetensors").unlink()
    (run / "checkpoints").mkdir()
    with pytest.raises(UsageError, match=r"no model\.safetensors.*train --resume"):
        load(run)


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_damaged_files_are_named(run: Path, name: str, share: float) -> None:
    whole = (run / name).read_bytes()
    (run / name).write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(UsageError, match=name.replace(".", r"\.")):
        load(run)


def test_results_as_a_table(tmp_path: Path) -> None:
    results: list[Result] = [
        Prediction(
            "a, b.mp4", "läuft", 0.75, [("läuft", 0.75), ("sitzt", 0.25)],
            np.array([0.75, 0.25], np.float32), ("läuft", "sitzt"),
        ),
        VideoError("c.mp4", "the file is empty"),
    ]  # fmt: skip
    write_csv(tmp_path / "out.csv", results)
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == [
        {
            "video": "a, b.mp4",
            "label_1": "läuft",
            "probability_1": "0.75",
            "label_2": "sitzt",
            "probability_2": "0.25",
            "error": "",
        },
        {
            "video": "c.mp4",
            "label_1": "",
            "probability_1": "",
            "label_2": "",
            "probability_2": "",
            "error": "the file is empty",
        },
    ]


def test_a_table_with_nothing_predicted(tmp_path: Path) -> None:
    write_csv(tmp_path / "out.csv", [VideoError("c.mp4", "empty")])
    text = (tmp_path / "out.csv").read_text(encoding="utf-8")
    assert text == "video,label_1,probability_1,error\nc.mp4,,,empty\n"


# Several labels a video


def test_labels_have_a_probability_each(
    run_of_sets: Path, clips: list[Path], tmp_path: Path
) -> None:
    results = load(run_of_sets, engine="torch").predict(clips, topk=2)
    sizes = set()
    for found in results:
        assert isinstance(found, Prediction)
        above = {label for label, p in zip(found.labels, found.probabilities) if p > 0.5}
        assert set(found.present) == above
        assert found.topk[0] == (found.label, found.probability)
        assert found.topk[0][1] >= found.topk[1][1]
        assert found.present[:1] == ([found.label] if above else [])
        assert found.to_dict()["present"] == found.present
        sizes.add(len(above))
    assert len(sizes) > 1, "the clips must not all look alike to this test"

    write_csv(tmp_path / "found.csv", [*results, VideoError("x.mp4", "is gone")])
    with open(tmp_path / "found.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:4] == ["video", "present", "label_1", "probability_1"]
    for row, found in zip(rows, results):
        assert row["present"] == ("|".join(found.present) or "none")  # type: ignore[union-attr]
    assert (rows[-1]["present"], rows[-1]["error"]) == ("", "is gone")


def test_one_label_has_no_set(run: Path, clips: list[Path]) -> None:
    found = load(run, engine="torch").predict(clips[0])
    assert found.present == [found.label]
    assert "present" not in found.to_dict()


# Calibration, sets and refusal


def test_what_is_said_is_calibrated_and_has_a_set(
    run: Path, clips: list[Path], tmp_path: Path, settle: Callable[..., None]
) -> None:
    before = load(run, engine="torch").predict(clips)
    assert all(isinstance(found, Prediction) and found.set is None for found in before)
    tops = sorted(found.probability for found in before if isinstance(found, Prediction))
    calibration = Calibration("temperature", (2.5,) * 3, (0.0,) * 3)
    middle = float(np.median(tops))
    rest = (1 - middle) / 2
    threshold = float(calibration.apply(np.array([[middle, rest, rest]]))[0, 0])
    settle(run, scale=2.5, quantile=0.7, threshold=threshold)
    after = load(run, engine="torch").predict(clips, topk=2)
    for old, new in zip(before, after):
        assert isinstance(old, Prediction)
        assert isinstance(new, Prediction)
        expected = calibration.apply(old.probabilities[None])[0]
        np.testing.assert_allclose(new.probabilities, expected, rtol=1e-5)
        assert new.label == old.label
        inside = {label for label, p in zip(new.labels, new.probabilities) if p >= 0.3}
        assert set(new.set or ()) == inside | {new.label}
        assert (new.set or ())[0] == new.label
        assert new.abstained == (new.probabilities.max() < threshold)
        values = new.to_dict()
        assert (values["set"], values["abstained"]) == (list(new.set or ()), new.abstained)
    answered = {found.abstained for found in after if isinstance(found, Prediction)}
    assert answered == {True, False}

    table: list[Result] = [*after, VideoError("x.mp4", "is gone")]
    write_csv(tmp_path / "found.csv", table)
    with open(tmp_path / "found.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[-3:] == ["set", "abstained", "error"]
    for row, found in zip(rows, after):
        assert isinstance(found, Prediction)
        assert row["set"] == "|".join(found.set or ())
        assert row["abstained"] == ("yes" if found.abstained else "no")
    assert (rows[-1]["set"], rows[-1]["abstained"], rows[-1]["error"]) == ("", "", "is gone")


def test_where_nothing_may_be_answered_every_clip_is_abstained_from(
    run: Path, clips: list[Path], settle: Callable[..., None]
) -> None:
    settle(run, scale=1.0, quantile=None, threshold=None)
    found = load(run, engine="torch").predict(clips[0])
    assert found.abstained
    assert len(found.set or ()) == 3


@pytest.mark.parametrize(
    ("saved", "says"),
    [
        ({"calibration": {"method": "temperature"}}, "calibration saved with the model is damaged"),
        ({"calibration": Calibration.identity(4).to_dict()}, "for 4 classes"),
        ({"refusal": {"alpha": 0.1}}, "sets saved with the model are damaged"),
    ],
)
def test_a_damaged_calibration_is_said(run: Path, saved: dict[str, object], says: str) -> None:
    Recognizer.load(run).save(run, extra=saved)
    with pytest.raises(UsageError, match=says):
        load(run, engine="torch")
