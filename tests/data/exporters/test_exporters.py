"""What is exported reads back, or is what the other program's documentation asks for."""

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frameflow.data.exporters._shared import VideoFacts
from frameflow.data.exporters.fiftyone import export_fiftyone
from frameflow.data.exporters.kinetics import export_kinetics
from frameflow.data.exporters.label_studio import export_label_studio
from frameflow.data.exporters.lists import export_lists
from frameflow.data.importers.kinetics import import_kinetics
from frameflow.data.importers.lists import import_lists
from frameflow.data.manifest import Manifest, Region, Sample
from frameflow.errors import UsageError

TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12
).filter(lambda text: text == text.strip())
NAMES = st.text("abcdefghijklmnopqrstuvwxyz-_", min_size=1, max_size=8)
SPLITS = st.sampled_from(["train", "val", "test"])
SECONDS = st.floats(0, 1000, allow_nan=False)

FILES = settings(deadline=None, max_examples=30)  # each example writes files


def facts(_: Path) -> VideoFacts:
    return VideoFacts(9.5, 25.0)


def plain(manifest: Manifest) -> set[tuple[object, ...]]:
    return {(s.video, s.label, s.split, s.start, s.end) for s in manifest}


@st.composite
def samples(draw: st.DrawFn) -> list[Sample]:
    """Samples of every kind that a manifest can hold."""
    made = []
    for number in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(["whole", "span", "frame"]))
        start = draw(SECONDS) if kind == "span" else None
        made.append(
            Sample(
                f"{draw(NAMES)}/{number}.mp4",
                draw(TEXT),
                draw(st.sampled_from(["", "train", "val", "test"])),
                draw(st.one_of(st.just(""), TEXT)),
                start,
                start + draw(st.floats(0.001, 100)) if start is not None else None,
                str(draw(st.integers(0, 10**6))) if kind == "frame" else None,
                draw(st.one_of(st.none(), st.integers(0, 9))),
                draw(st.one_of(st.none(), st.just(Region(0.1, 0.2, 0.3, 0.4)))),
                {"camera": draw(st.one_of(st.just(""), TEXT))},
            )
        )
    return made


@FILES
@given(samples())
def test_csv_reads_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, made: list[Sample]
) -> None:
    folder = tmp_path_factory.mktemp("csv")
    Manifest(made, folder).write(folder / "m.csv")
    assert Manifest.read(folder / "m.csv", check_files=False).samples == made


@FILES
@given(st.dictionaries(NAMES, st.tuples(TEXT, SPLITS), min_size=1, max_size=6))
def test_lists_read_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, drawn: dict[str, tuple[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("lists")
    made = [Sample(f"{name}.mp4", label, split) for name, (label, split) in drawn.items()]
    for sample in made:
        (folder / sample.video).touch()
    before = Manifest(made, folder)
    for form in ("MMAction2", "PyTorchVideo"):
        labels, *written = export_lists(before, folder / form, form=form)
        assert plain(import_lists(folder, written, labels=labels)) == plain(before)


@FILES
@given(st.dictionaries(NAMES, st.tuples(TEXT, SPLITS, SECONDS), min_size=1, max_size=6))
def test_kinetics_reads_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, drawn: dict[str, tuple[str, str, float]]
) -> None:
    folder = tmp_path_factory.mktemp("kinetics")
    made = []
    for name, (label, split, start) in drawn.items():
        begun = round(start, 3)
        made.append(Sample(f"{name}.mp4", label, split, start=begun, end=round(begun + 2.5, 3)))
        (folder / f"{name}.mp4").touch()
    before = Manifest(made, folder)
    table = export_kinetics(before, folder / "t.csv", facts)
    assert plain(import_kinetics(folder, [table], untrimmed=True)) == plain(before)


def test_kinetics_of_whole_clips(touch) -> None:
    root = touch("-abcdefghi1_000010_000020.mp4", "x/clip.mp4")
    made = [
        Sample("-abcdefghi1_000010_000020.mp4", "abseiling", "val"),
        Sample("x/clip.mp4", "air drumming", "train"),
    ]
    table = export_kinetics(Manifest(made, root), root.parent / "t.csv", facts)
    assert table.read_text() == (
        "label,youtube_id,time_start,time_end,split\n"
        "abseiling,-abcdefghi1,10,20,validate\n"
        "air drumming,clip,0,10,train\n"
    )
    assert plain(import_kinetics(root, [table])) == plain(Manifest(made, root))
    with pytest.raises(UsageError, match=r"these share one: x/clip\.mp4, y/clip\.mp4"):
        export_kinetics(Manifest([made[1], Sample("y/clip.mp4", "x")], root), table, facts)


class TestLists:
    def test_labels_that_look_like_numbered_ones(self, touch, tmp_path: Path) -> None:
        root = touch("a.mp4", "b.mp4")
        before = Manifest([Sample("a.mp4", "1 a side"), Sample("b.mp4", "0 all")], root)
        labels, *written = export_lists(before, tmp_path / "out")
        assert labels.read_text() == "0 0 all\n1 1 a side\n"
        assert plain(import_lists(root, written, labels=labels)) == plain(before)

    def test_folders_of_frames_and_their_counts(self, touch, tmp_path: Path) -> None:
        root = touch("a/1.jpg", "a/2.jpg", "b/1.jpg")
        before = Manifest([Sample("a", "run", "train"), Sample("b", "serve", "test")], root)
        labels, *written = export_lists(before, tmp_path / "out")
        assert [path.name for path in written] == ["train.txt", "test.txt"]
        assert written[0].read_text() == "a 2 0\n"
        assert plain(import_lists(root, written, labels=labels)) == plain(before)

    def test_several_labels(self, touch, tmp_path: Path) -> None:
        root = touch("a.mp4")
        before = Manifest([Sample("a.mp4", "run|serve")], root)
        labels, written = export_lists(before, tmp_path / "out", multilabel=True)
        assert (written.name, written.read_text()) == ("all.txt", "a.mp4 0 1\n")
        after = import_lists(root, [written], labels=labels, multilabel=True)
        assert after[0].label == "run|serve"

    @pytest.mark.parametrize(
        ("made", "says"),
        [
            ([Sample("a.mp4", "x", start=1.0, end=2.0)], "1 samples are spans"),
            ([Sample("a.mp4", "x", frame="3")], "1 samples are single frames"),
            ([Sample("a.mp4")], "1 samples have no label"),
            ([Sample("a b.mp4", "x")], "1 paths hold a space, such as 'a b.mp4'"),
            ([Sample("a.mp4", "x"), Sample("f", "x")], "Some samples are files and some folders"),
        ],
    )
    def test_what_they_cannot_hold(self, made, says: str, touch, tmp_path: Path) -> None:
        root = touch("a.mp4", "a b.mp4", "f/1.jpg")
        with pytest.raises(UsageError, match=says):
            export_lists(Manifest(made, root), tmp_path / "out")


class TestFiftyOne:
    def test_whole_clips_become_a_tree_of_links(self, touch, tmp_path: Path) -> None:
        root = touch("one/a.mp4", "two/a.mp4", "b.mp4", "c.mp4")
        made = [
            Sample("one/a.mp4", "run", "train"),
            Sample("two/a.mp4", "run", "train"),
            Sample("b.mp4", "lob, hoch", "test"),
            Sample("c.mp4", "", "test"),
        ]
        out = tmp_path / "out"
        for _ in range(2):  # a second time over the first
            lines = export_fiftyone(Manifest(made, root), out, facts)
        tree = {str(p.relative_to(out)): p.resolve() for p in out.rglob("*") if not p.is_dir()}
        assert tree == {
            "train/run/a.mp4": (root / "one/a.mp4").resolve(),
            "train/run/two_a.mp4": (root / "two/a.mp4").resolve(),
            "test/lob, hoch/b.mp4": (root / "b.mp4").resolve(),
            "test/_unlabeled/c.mp4": (root / "c.mp4").resolve(),
        }
        assert len(lines) == 2
        assert "fo.types.VideoClassificationDirectoryTree" in lines[0]

    def test_spans_become_temporal_detections(self, touch, tmp_path: Path) -> None:
        root = touch("a.b.mp4", "c.mp4")
        made = [
            Sample("a.b.mp4", "serve", start=1.0, end=2.5),
            Sample("a.b.mp4", "lob", start=3.0),
            Sample("c.mp4", "serve", end=2.0),
        ]
        (line,) = export_fiftyone(Manifest(made, root), tmp_path / "out", facts)
        assert "FiftyOneTemporalDetectionDataset" in line
        assert 'data_path="data.json"' in line
        paths = json.loads((tmp_path / "out/data.json").read_text())
        assert paths == {"000000": str(root / "a.b.mp4"), "000001": str(root / "c.mp4")}
        assert json.loads((tmp_path / "out/labels.json").read_text()) == {
            "classes": ["lob", "serve"],
            "labels": {
                "000000": [
                    {"label": 1, "timestamps": [1.0, 2.5]},
                    {"label": 0, "timestamps": [3.0, 9.5]},
                ],
                "000001": [{"label": 1, "timestamps": [0.0, 2.0]}],
            },
        }

    def test_what_it_cannot_show(self, touch, tmp_path: Path) -> None:
        root = touch("f/1.jpg", "a.mp4")
        for made, says in (
            (Sample("f", "x"), "1 samples are folders of frames, such as f"),
            (Sample("a.mp4", "x", frame="1"), "1 samples are single frames"),
            (Sample("a.mp4", "a/b"), "'a/b' cannot name a folder"),
        ):
            with pytest.raises(UsageError, match=says):
                export_fiftyone(Manifest([made], root), tmp_path / "out", facts)


class TestLabelStudio:
    def test_choices(self, touch, tmp_path: Path) -> None:
        root = touch("a b.mp4", "c.mp4")
        made = [
            Sample("a b.mp4", 'run & "hit"', "train", "g1", extra={"camera": "2"}),
            Sample("c.mp4"),
        ]
        out, interface = export_label_studio(
            Manifest(made, root), tmp_path / "t.json", facts, url="http://host/"
        )
        one, two = json.loads(out.read_text())
        assert one["data"] == {
            "video": "http://host/a%20b.mp4", "split": "train", "group": "g1", "camera": "2",
        }  # fmt: skip
        (result,) = one["annotations"][0]["result"]
        assert (result["type"], result["value"]) == ("choices", {"choices": ['run & "hit"']})
        assert two == {"data": {"video": "http://host/c.mp4"}}
        view = ElementTree.fromstring(interface.read_text())
        assert [c.get("value") for c in view.iter("Choice")] == ['run & "hit"']
        assert self.connected(view, result)

    @staticmethod
    def connected(view: ElementTree.Element, result: dict[str, str]) -> bool:
        """The names that a result refers to are those of the interface, tag by tag."""
        names = {element.get("name"): element for element in view if element.get("name")}
        control = names[result["from_name"]]
        return (
            control.get("toName") == result["to_name"]
            and names[result["to_name"]].tag == "Video"
            and control.tag.lower() == result["type"]
        )

    def test_spans_are_frames_from_one(self, touch, tmp_path: Path) -> None:
        root = touch("a.mp4")
        made = [Sample("a.mp4", "serve", start=1.0, end=2.0), Sample("a.mp4", "lob", start=2.0)]
        out, interface = export_label_studio(
            Manifest(made, root), tmp_path / "t.json", facts, predictions=True
        )
        (task,) = json.loads(out.read_text())
        assert task["data"] == {"video": "/data/local-files/?d=a.mp4", "rate": 25.0}
        values = [result["value"] for result in task["predictions"][0]["result"]]
        assert values == [
            {"ranges": [{"start": 26, "end": 50}], "timelinelabels": ["serve"]},
            {"ranges": [{"start": 51, "end": 238}], "timelinelabels": ["lob"]},
        ]
        view = ElementTree.fromstring(interface.read_text())
        assert self.connected(view, task["predictions"][0]["result"][0])
        assert view.find("Video").get("framerate") == "$rate"  # type: ignore[union-attr]

    def test_several_labels(self, touch, tmp_path: Path) -> None:
        root = touch("a.mp4")
        manifest = Manifest([Sample("a.mp4", "run|serve")], root)
        out, interface = export_label_studio(manifest, tmp_path / "t.json", facts, multilabel=True)
        ((result,),) = [task["annotations"][0]["result"] for task in json.loads(out.read_text())]
        assert result["value"] == {"choices": ["run", "serve"]}
        assert 'choice="multiple"' in interface.read_text()


def test_a_file_in_the_way_is_told(touch: Callable[..., Path], tmp_path: Path) -> None:
    from frameflow.errors import FrameFlowError

    root = touch("a.mp4")
    (tmp_path / "out/run").mkdir(parents=True)
    (tmp_path / "out/run/a.mp4").write_text("mine")
    with pytest.raises(FrameFlowError, match="cannot be made a link"):
        export_fiftyone(Manifest([Sample("a.mp4", "run")], root), tmp_path / "out", facts)
    assert (tmp_path / "out/run/a.mp4").read_text() == "mine"
