"""Each published form, as small files, becomes the manifest that its authors mean."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from frameflow.data.importers.hmdb51 import import_hmdb51
from frameflow.data.importers.kinetics import import_kinetics
from frameflow.data.importers.lists import import_lists, read_label_map
from frameflow.data.importers.something_something import import_something_something
from frameflow.data.importers.tables import import_table
from frameflow.data.manifest import Manifest, ManifestError
from frameflow.data.splits import check_leaks
from frameflow.errors import UsageError


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, object], Path]:
    def put(name: str, content: object) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_text(text, encoding="utf-8")
        return path

    return put


def plain(manifest: Manifest) -> list[tuple[str, str, str]]:
    return [(sample.video, sample.label, sample.split) for sample in manifest]


class TestHmdb51:
    FILMS = ("April_09", "Return_of_the_King_4", "#437_How_To_Ride", "Amélie")

    @pytest.fixture
    def lists(self, write, touch) -> tuple[Path, Path]:
        """Two classes of four films, two clips each; the last film is in test, code 0 in none."""
        videos = []
        for label in ("brush_hair", "walk"):
            lines = []
            for number, film in enumerate(self.FILMS):
                for clip in (0, 1):
                    name = f"{film}_{label}_u_nm_np1_ba_goo_{clip}.avi"
                    videos.append(f"{label}/{name}")
                    lines.append(f"{name} {(1, 1, 1, 2)[number]} ")
            unused = f"Extra_{label}_f_cm_np2_le_bad_7.avi"
            videos.append(f"{label}/{unused}")
            write(f"lists/{label}_test_split1.txt", "\n".join([*lines, f"{unused} 0 "]))
        return touch(*videos), write("lists/README.md", "").parent

    def test_an_official_split(self, lists: tuple[Path, Path], caplog) -> None:
        with caplog.at_level(logging.INFO, "frameflow"):
            manifest = import_hmdb51(*lists, fold=1, val_share=0.3)
        assert manifest.summary() == {
            name: {"train": 4, "val": 2, "test": 2} for name in ("brush_hair", "walk")
        }
        assert "12 train and 4 test clips; 2 are in neither" in caplog.text
        assert check_leaks(manifest) == []
        manifest.validate()
        king = next(s for s in manifest if "King" in s.video)
        assert king.group == "brush_hair/Return_of_the_King_4"
        assert king.extra == {
            "source": "Return_of_the_King_4", "body": "upper", "camera": "still", "people": "1",
            "viewpoint": "back", "quality": "good",
        }  # fmt: skip

    def test_what_is_refused(self, lists: tuple[Path, Path], write) -> None:
        videos, folder = lists
        with pytest.raises(UsageError, match=r"fold \(0\)"):
            import_hmdb51(videos, folder, fold=0)
        with pytest.raises(UsageError, match="no list such as brush_hair_test_split2"):
            import_hmdb51(videos, folder, fold=2)
        write("lists/walk_test_split1.txt", "a_walk_f_cm_np1_le_bad_1.avi 1\nb.avi 3\nc.avi\n")
        with pytest.raises(ManifestError, match=r"line 2: 'b.avi 3' is not a video and 0, 1 or 2"):
            import_hmdb51(videos, folder)
        write("lists/walk_test_split1.txt", "gone.avi 1\n")
        with pytest.raises(UsageError, match=r"1 of the 9 videos are not in .*walk/gone\.avi"):
            import_hmdb51(videos, folder)
        assert len(import_hmdb51(videos, folder, allow_missing=True)) == 8


class TestKinetics:
    HEADER = "label,youtube_id,time_start,time_end,split,is_cc\n"
    ROWS = (
        "abseiling,-abcdefghi1,10,20,train,0\n"
        "air drumming,ABCDEFGHIJ2,3,13,train,0\n"
        "air drumming,ABCDEFGHIJ3,0,10,train,1\n"
    )

    def test_names_of_every_kind(self, write, touch) -> None:
        table = write("kinetics_train.csv", self.HEADER + self.ROWS)
        videos = touch(
            "abseiling/-abcdefghi1_000010_000020.mp4",
            "air_drumming/ABCDEFGHIJ2_3_13.mkv",
            "ABCDEFGHIJ3.webm",
        )
        manifest = import_kinetics(videos, [table])
        assert plain(manifest) == [
            ("abseiling/-abcdefghi1_000010_000020.mp4", "abseiling", "train"),
            ("air_drumming/ABCDEFGHIJ2_3_13.mkv", "air drumming", "train"),
            ("ABCDEFGHIJ3.webm", "air drumming", "train"),
        ]
        assert [s.group for s in manifest] == ["-abcdefghi1", "ABCDEFGHIJ2", "ABCDEFGHIJ3"]
        assert all(s.start is None for s in manifest)
        whole = import_kinetics(videos, [table], untrimmed=True)
        assert [(s.start, s.end) for s in whole] == [(None, None), (None, None), (0, 10)]

    def test_the_split_of_the_file_s_name_and_unlabelled_tests(self, write, touch) -> None:
        videos = touch("ABCDEFGHIJ2.mp4", "ABCDEFGHIJ3.mp4")
        tables = [
            write("validate.csv", "label,youtube_id,time_start,time_end\nair,ABCDEFGHIJ2,0,10\n"),
            write("test.csv", "youtube_id,time_start,time_end,split\nABCDEFGHIJ3,0,10,test\n"),
        ]
        assert plain(import_kinetics(videos, tables)) == [
            ("ABCDEFGHIJ2.mp4", "air", "val"),
            ("ABCDEFGHIJ3.mp4", "", "test"),
        ]

    def test_missing_videos_are_listed(self, write, touch) -> None:
        table = write("train.csv", self.HEADER + self.ROWS)
        videos = touch("ABCDEFGHIJ3.webm")
        with pytest.raises(UsageError, match=r"2 of the 3 videos are not in .*-abcdefghi1_000010"):
            import_kinetics(videos, [table])
        assert len(import_kinetics(videos, [table], allow_missing=True)) == 1
        with pytest.raises(UsageError, match="holds none of the 3 videos"):
            import_kinetics(touch(folder="empty"), [table], allow_missing=True)

    def test_several_rows_of_one_file_need_to_be_spans(self, write, touch) -> None:
        rows = "air,ABCDEFGHIJ3,0,10,train\nair,ABCDEFGHIJ3,30,40,train\n"
        table = write("train.csv", self.HEADER.replace(",is_cc", "") + rows)
        videos = touch("ABCDEFGHIJ3.mp4")
        with pytest.raises(UsageError, match=r"Several rows are of one file.*--untrimmed"):
            import_kinetics(videos, [table])
        assert len(import_kinetics(videos, [table], untrimmed=True)) == 2

    def test_wrong_rows_are_named_by_line(self, write, touch) -> None:
        rows = "a,ABCDEFGHIJ3,x,10,train,0\na,ABCDEFGHIJ3,0,10,dev,0\na,ABCDEFGHIJ3,0\n"
        table = write("train.csv", self.HEADER + rows)
        with pytest.raises(ManifestError) as caught:
            import_kinetics(touch("a.mp4"), [table])
        said = str(caught.value)
        assert "line 2: 'x' and '10' are no start and end" in said
        assert "line 3: split 'dev' is none of" in said
        assert "line 4: has 3 cells where the header has 6" in said
        with pytest.raises(UsageError, match="no column 'youtube_id'"):
            import_kinetics(touch("a.mp4"), [write("train.csv", "label,start\n")])


class TestSomethingSomething:
    TRAIN = (
        {
            "id": "1", "label": "holding a cup", "template": "Holding [something]",
            "placeholders": ["a cup"],
        },
        {
            "id": 2, "label": "pushing a pen left",
            "template": "Pushing [something] from right to left", "placeholders": ["a pen"],
        },
    )  # fmt: skip

    def test_templates_are_the_labels(self, write, touch) -> None:
        labels = write(
            "labels.json", {"Holding something": "0", "Pushing something from right to left": "1"}
        )
        lists = [
            write("something-something-v2-train.json", self.TRAIN),
            write("something-something-v2-validation.json", [self.TRAIN[0] | {"id": "3"}]),
            write("something-something-v2-test.json", [{"id": "4"}]),
        ]
        videos = touch("1.webm", "2.webm", "3.webm", "4.webm", "99.webm")
        answers = write("test-answers.csv", "4;Holding [something]\n")
        manifest = import_something_something(videos, lists, labels=labels, answers=answers)
        assert plain(manifest) == [
            ("1.webm", "Holding something", "train"),
            ("2.webm", "Pushing something from right to left", "train"),
            ("3.webm", "Holding something", "val"),
            ("4.webm", "Holding something", "test"),
        ]
        assert manifest[0].extra["description"] == "holding a cup"
        assert import_something_something(videos, lists)[3].label == ""

    def test_folders_of_frames(self, write, touch) -> None:
        videos = touch("1/00001.jpg", "1/00002.jpg", "2/00001.jpg")
        manifest = import_something_something(videos, [write("train.json", self.TRAIN)])
        assert [sample.video for sample in manifest] == ["1", "2"]

    def test_what_is_refused(self, write, touch) -> None:
        videos = touch("1.webm", "2.webm")
        labels = write("labels.json", {"Holding something": "0"})
        train = write("train.json", self.TRAIN)
        with pytest.raises(ManifestError, match="line 2: the template 'Pushing"):
            import_something_something(videos, [train], labels=labels)
        with pytest.raises(ManifestError, match="line 1: the entry has no id"):
            import_something_something(videos, [write("val.json", [{"label": "x"}])])
        with pytest.raises(UsageError, match="is named after no split"):
            import_something_something(videos, [write("all.json", self.TRAIN)])
        with pytest.raises(UsageError, match="is no JSON"):
            import_something_something(videos, [write("train.json", "[")])
        with pytest.raises(UsageError, match="is no list of clips"):
            import_something_something(videos, [write("train.json", {})])


class TestLists:
    def test_videos_with_names_of_labels(self, write, touch) -> None:
        videos = touch("train/a b.mp4", "train/c.mp4", "val/d.mp4")
        lists = [
            write("hmdb_train_split_1_videos.txt", "train/a b.mp4 1\ntrain/c.mp4 0\n"),
            write("hmdb_val_split_1_videos.txt", "val/d.mp4 1\n"),
        ]
        labels = write("label_map.txt", "brush hair\ncartwheel\n")
        assert plain(import_lists(videos, lists, labels=labels)) == [
            ("train/a b.mp4", "cartwheel", "train"),
            ("train/c.mp4", "brush hair", "train"),
            ("val/d.mp4", "cartwheel", "val"),
        ]

    def test_folders_of_frames_and_their_counts(self, write, touch) -> None:
        videos = touch("a/img_00001.jpg", "a/img_00002.jpg", "b/img_00001.jpg")
        lists = [write("train.txt", "a 2 5\nb 1 7\n")]
        manifest = import_lists(videos, lists)
        assert plain(manifest) == [("a", "5", "train"), ("b", "7", "train")]

    def test_several_labels(self, write, touch) -> None:
        videos = touch("a.mp4", "b.mp4")
        lists = [write("train.csv", "a.mp4 0 2\nb.mp4 1\n")]
        with pytest.raises(ManifestError, match="line 1: has 2 labels"):
            import_lists(videos, lists)
        labels = write("labels.txt", "run\nserve\ncrowd\n")
        manifest = import_lists(videos, lists, labels=labels, multilabel=True)
        assert [sample.label for sample in manifest] == ["run|crowd", "serve"]

    def test_the_form_of_pytorchvideo(self, write, touch) -> None:
        videos = touch("a.mp4", "sub/b.mp4")
        lists = [write("val.csv", f"{videos / 'a.mp4'} 0\nsomewhere/else/sub/b.mp4 1\n")]
        manifest = import_lists(videos, lists, raw_frames=False)
        assert plain(manifest) == [("a.mp4", "0", "val"), ("sub/b.mp4", "1", "val")]

    def test_a_name_is_never_given_to_another_folder_s_video(self, write, touch) -> None:
        videos = touch("serve/1.mp4", "lob/1.mp4", "lob/2.mp4")
        lists = [write("train.txt", "train/serve/1.mp4 0\ntrain/serve/2.mp4 0\n")]
        with pytest.raises(UsageError, match=r"1 of the 2 videos are not in .*serve/2\.mp4"):
            import_lists(videos, lists)
        with pytest.raises(UsageError, match=r"1\.mp4 could be lob/1\.mp4, serve/1\.mp4"):
            import_lists(videos, [write("train.txt", "1.mp4 0\n")])

    def test_maps_of_labels(self, write) -> None:
        assert read_label_map(write("a.txt", "run\n5 a side\n")) == {0: "run", 1: "5 a side"}
        assert read_label_map(write("b.txt", "1 Archery\n2 Yo Yo\n")) == {1: "Archery", 2: "Yo Yo"}
        assert read_label_map(write("c.csv", "0,Archery\n1,Yo Yo\n")) == {0: "Archery", 1: "Yo Yo"}
        assert read_label_map(write("e.txt", "5 a side\n7 a side\n")) == {
            0: "5 a side", 1: "7 a side",
        }  # fmt: skip
        with pytest.raises(UsageError, match="two names"):
            read_label_map(write("d.txt", "1 Archery\n1 Yo Yo\n"))

    def test_wrong_lines_are_named(self, write, touch) -> None:
        videos = touch("a.mp4")
        with pytest.raises(ManifestError, match=r"line 2: 'a\.mp4' is not a path and the number"):
            import_lists(videos, [write("train.txt", "a.mp4 0\na.mp4\n")])
        with pytest.raises(ManifestError, match="line 1: the map of labels has no number 4"):
            import_lists(
                videos, [write("train.txt", "a.mp4 4\n")], labels=write("l.txt", "run\nserve\n")
            )
        with pytest.raises(UsageError, match="The lists name no videos"):
            import_lists(videos, [write("train.txt", "")])
        with pytest.raises(UsageError, match="cannot be read"):
            import_lists(videos, [videos / "gone.txt"])


class TestTables:
    def test_columns_by_other_names(self, write, touch) -> None:
        videos = touch("x/a.avi", "b/0001.jpg", "b/0002.jpg")
        table = write(
            "t.csv",
            "video_name,Tag,Subset,Camera,File_Name\n1,serve,Training,left,a\n2,lob,test,right,b\n",
        )
        manifest = import_table(videos, table)
        assert plain(manifest) == [("x/a.avi", "serve", "train"), ("b", "lob", "test")]
        assert manifest[0].extra == {"video_name": "1", "Camera": "left"}

    def test_numbers_get_their_names(self, write, touch) -> None:
        table = write("t.csv", "path;label\na.mp4;1\na.mp4;serve\n")
        labels = write("l.txt", "lob\nserve\n")
        manifest = import_table(touch("a.mp4"), table, labels=labels)
        assert [sample.label for sample in manifest] == ["serve", "serve"]

    def test_what_is_refused(self, write, touch) -> None:
        videos = touch("a.mp4")
        with pytest.raises(UsageError, match="no column for the label"):
            import_table(videos, write("t.csv", "path,what\na.mp4,x\n"))
        with pytest.raises(ManifestError) as caught:
            import_table(videos, write("t.csv", "path,label,split\na.mp4,x,dev\na.mp4,x\n"))
        assert "line 2: split 'dev' is none of" in str(caught.value)
        assert "line 3: has 2 cells where the header has 3" in str(caught.value)
