"""predictions.csv and results.json say what the model said, whatever the labels hold."""

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frameflow._files import write_json
from frameflow.data.manifest import Sample
from frameflow.errors import UsageError
from frameflow.evaluation.predictions import Predictions, read_predictions

LABELS = ["run, fast", "läufer 走る", 'say "hi"', "predicted", "p:x", " led by a space"]


def some(labels: list[str], samples: int = 4, seed: int = 0) -> Predictions:
    rng = np.random.default_rng(seed)
    rows = [
        Sample(f"dir/clip {i}.mp4", labels[i % len(labels)], group=f"g{i // 2}")
        for i in range(samples)
    ]
    return Predictions(rows, labels, rng.dirichlet(np.ones(len(labels)), samples))


def same(left: Predictions, right: Predictions) -> None:
    assert list(right.labels) == list(left.labels)
    assert [(s.video, s.label, s.group) for s in right.samples] == [
        (s.video, s.label, s.group) for s in left.samples
    ]
    np.testing.assert_allclose(right.probabilities, left.probabilities, rtol=1e-5, atol=1e-12)


def test_round_trip(tmp_path: Path) -> None:
    found = some(LABELS, 9)
    found.write_csv(tmp_path / "predictions.csv")
    back = read_predictions(tmp_path / "predictions.csv")
    same(found, back)
    assert back.predicted == found.predicted
    header = (tmp_path / "predictions.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header.startswith('video,label,group,predicted,probability,"p:run, fast"')


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1), min_size=1, unique=True))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_label_comes_back(tmp_path: Path, labels: list[str]) -> None:
    found = some(labels, 3)
    found.write_csv(tmp_path / "predictions.csv")
    same(found, read_predictions(tmp_path / "predictions.csv"))


def test_the_table_is_not_held_in_memory(tmp_path: Path) -> None:
    samples = [Sample(f"{number}.mp4", "label 0") for number in range(400)]
    found = Predictions(samples, [f"label {n}" for n in range(300)], np.full((400, 300), 1 / 300))
    tracemalloc.start()
    found.write_csv(tmp_path / "predictions.csv")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1_000_000 < (tmp_path / "predictions.csv").stat().st_size


def test_spans_and_frames_have_columns_only_where_there_are_any(tmp_path: Path) -> None:
    samples = [Sample("a.mp4", "x", start=1.5, end=2.0), Sample("a.mp4", "y", frame="0007.jpg")]
    found = Predictions(samples, ["x", "y"], np.array([[0.25, 0.75], [0.5, 0.5]]))
    found.write_csv(tmp_path / "p.csv")
    first = (tmp_path / "p.csv").read_text().splitlines()
    assert first[0] == "video,label,group,start,end,frame,predicted,probability,p:x,p:y"
    assert first[1] == "a.mp4,x,,1.5,2.0,,y,0.75,0.25,0.75"
    back = read_predictions(tmp_path / "p.csv").samples
    assert [(s.start, s.end, s.frame) for s in back] == [(1.5, 2.0, None), (None, None, "0007.jpg")]


def test_results_hold_truth_prediction_and_top_k(tmp_path: Path) -> None:
    samples = [Sample("a.mp4", "x"), Sample("b.mp4"), Sample("c.mp4", "z", start=0.5)]
    shares = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.5, 0.3]])
    found = Predictions(samples, ["x", "y", "z"], shares).results(topk=2)
    write_json(tmp_path / "r.json", found)
    assert json.loads((tmp_path / "r.json").read_text()) == {
        "labels": ["x", "y", "z"],
        "samples": [
            {
                "video": "a.mp4",
                "label": "x",
                "predicted": "x",
                "correct": True,
                "topk": [["x", 0.7], ["y", 0.2]],
            },
            {
                "video": "b.mp4",
                "label": "",
                "predicted": "y",
                "correct": None,
                "topk": [["y", 0.8], ["x", 0.1]],
            },
            {
                "video": "c.mp4",
                "start": 0.5,
                "label": "z",
                "predicted": "y",
                "correct": False,
                "topk": [["y", 0.5], ["z", 0.3]],
            },
        ],
    }


def test_surest_mistakes_come_first_and_leave_out_what_has_no_truth() -> None:
    samples = [Sample("a", "x"), Sample("b", "x"), Sample("c", "y"), Sample("d")]
    shares = np.array([[0.4, 0.6], [0.1, 0.9], [0.3, 0.7], [0.0, 1.0]])
    assert Predictions(samples, ["x", "y"], shares).surest_mistakes() == [1, 0]


def test_shapes_are_checked() -> None:
    with pytest.raises(UsageError, match=r"\(1, 2\) must be \(2, 2\)"):
        Predictions([Sample("a"), Sample("b")], ["x", "y"], np.ones((1, 2)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not a table of predictions"),
        ("video,label\na,b\n", "is not a table of predictions"),
        ("video,label,group,predicted,probability,p:x\na,x,,x,1,one\n", "row 2 is damaged"),
        ("video,label,group,predicted,probability,p:x,p:y\na,x,,x,1,1\n", "row 2 has 6 cells"),
    ],
)
def test_a_damaged_file_is_an_error_that_names_the_row(
    tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(UsageError, match=said):
        read_predictions(tmp_path / "p.csv")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.csv cannot be read"):
        read_predictions(tmp_path / "none.csv")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    some(["a", "b"]).write_csv(path)
    before = path.read_bytes()
    broken = some(["a\ud800", "b"])  # half a surrogate pair cannot be written as UTF-8
    with pytest.raises(UnicodeEncodeError):
        broken.write_csv(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["p.csv"]


# Several labels a sample


def sets() -> Predictions:
    samples = [Sample("a.mp4", "z|x", group="g"), Sample("b.mp4", "none"), Sample("c.mp4")]
    shares = np.array([[0.7, 0.2, 0.9], [0.1, 0.5, 0.4], [0.2, 0.6, 0.3]])
    return Predictions(samples, ["x", "y", "z"], shares, multilabel=True)


def test_what_is_present_is_above_a_half() -> None:
    found = sets()
    assert [found.present(row) for row in range(3)] == [["z", "x"], [], ["y"]]
    assert found.predicted == ["z|x", "none", "y"]
    assert found.targets.tolist() == [[True, False, True], [False] * 3, [False] * 3]


def test_sets_round_trip(tmp_path: Path) -> None:
    found = sets()
    found.write_csv(tmp_path / "p.csv")
    lines = (tmp_path / "p.csv").read_text().splitlines()
    assert lines[0] == "video,label,group,present,p:x,p:y,p:z"
    assert lines[1] == "a.mp4,z|x,g,z|x,0.7,0.2,0.9"
    assert lines[2] == "b.mp4,none,,none,0.1,0.5,0.4"
    back = read_predictions(tmp_path / "p.csv")
    same(found, back)
    assert back.multilabel
    assert back.predicted == found.predicted
    some(LABELS).write_csv(tmp_path / "q.csv")
    assert not read_predictions(tmp_path / "q.csv").multilabel


def test_results_hold_the_sets(tmp_path: Path) -> None:
    write_json(tmp_path / "r.json", sets().results(topk=1))
    held = json.loads((tmp_path / "r.json").read_text())
    assert held["multilabel"] is True
    assert held["samples"] == [
        {"video": "a.mp4", "labels": ["z", "x"], "present": ["z", "x"], "correct": True,
         "topk": [["z", 0.9]]},
        {"video": "b.mp4", "labels": [], "present": [], "correct": True, "topk": [["y", 0.5]]},
        {"video": "c.mp4", "labels": None, "present": ["y"], "correct": None,
         "topk": [["y", 0.6]]},
    ]  # fmt: skip


def test_the_surest_slips_come_first() -> None:
    samples = [Sample("a.mp4", "x"), Sample("b.mp4", "x|y"), Sample("c.mp4")]
    shares = np.array([[0.2, 0.6], [0.9, 0.05], [0.99, 0.99]])
    found = Predictions(samples, ["x", "y"], shares, multilabel=True)
    assert found.surest_slips() == [(1, 1), (0, 0), (0, 1)]
    assert found.surest_slips(1) == [(1, 1)]
    assert Predictions(samples[2:], ["x", "y"], shares[2:], multilabel=True).surest_slips() == []
