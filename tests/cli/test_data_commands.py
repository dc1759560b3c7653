# ruff: noqa: ARG001, ARG002  (fixtures that are wanted for what they make)
"""`frameflow data ...` as a user types it.

What each command finds is tested beside the modules; here: what is said and written, the exit
codes, and that a command that is given as the cure mends.
"""

import csv
import json
import re
import shlex
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from frameflow.data import fetch
from frameflow.data.manifest import Manifest, Sample

Run = Callable[..., object]


def scenes(manifest: Manifest) -> list[set[str]]:
    """The members of each group, as ``label/number``."""
    members = defaultdict(set)
    for sample in manifest:
        members[sample.group].add("/".join(Path(sample.video).with_suffix("").parts[-2:]))
    return sorted(members.values(), key=min)


def splits_of_groups(manifest: Manifest) -> dict[str, set[str]]:
    found = defaultdict(set)
    for sample in manifest:
        found[sample.group].add(sample.split)
    return found


class TestScan:
    def test_writes_the_manifest(self, videos, frameflow) -> None:
        said = frameflow("data scan VIDEOS -o sub/found.csv")
        assert said.code == 0
        assert said.out == "Wrote sub/found.csv: 24 samples, 2 labels.\n"
        manifest = Manifest.read("sub/found.csv")
        assert manifest.labels == ["Rückhand", "lob, hoch"]
        assert {sample.video.split("/")[0] for sample in manifest} == {".."}

    def test_every_file_that_is_no_video_is_named_once(self, videos, frameflow) -> None:
        names = [f"notes{number}.txt" for number in range(6)]
        for name in names:
            (videos / "lob, hoch" / name).write_text("x")
        said = frameflow("data scan VIDEOS")
        assert said.code == 0
        assert [said.err.count(name) for name in names] == [1] * 6
        assert len(Manifest.read("manifest.csv")) == 24

    @pytest.mark.parametrize(
        ("line", "says"),
        [
            ("data scan gone", "gone does not exist"),
            ("data scan VIDEOS/x.mp4", "is a file"),
            ("data scan empty", "holds no videos"),
            ("data scan VIDEOS -o found.txt", "must end in .csv or .parquet"),
        ],
    )
    def test_mistakes(self, line: str, says: str, videos, frameflow) -> None:
        Path("empty").mkdir()
        (videos / "x.mp4").write_bytes(b"")
        said = frameflow(line)
        assert said.code == 2
        assert says in said.error
        assert not Path("manifest.csv").exists()


class TestSplit:
    def test_no_group_stands_in_two_splits(self, videos, frameflow) -> None:
        frameflow("data scan VIDEOS")
        frameflow("data groups manifest.csv")
        said = frameflow("data split manifest.csv -o there/split.csv --val 0.2 --test 0.3")
        assert said.code == 0
        assert re.search(r"all +12 +4 +8 +24", said.out), said.out
        done = Manifest.read("there/split.csv")
        assert all(len(found) == 1 for found in splits_of_groups(done).values())
        assert not Manifest.read("manifest.csv").has_splits, "-o leaves the source alone"

    def test_without_groups_it_says_what_that_risks(self, videos, frameflow) -> None:
        frameflow("data scan VIDEOS")
        said = frameflow("data split manifest.csv")
        assert said.code == 0
        assert "the split is by clip" in said.err
        cure = re.search(r"`frameflow (data groups .*?)`", said.err)
        assert cure
        assert frameflow(cure[1]).code == 0
        assert Manifest.read("manifest.csv").has_groups

    def test_folds(self, manifest, frameflow) -> None:
        said = frameflow("data split manifest.csv --folds 3")
        assert said.code == 0
        done = Manifest.read(manifest)
        assert sorted({sample.fold for sample in done}) == [0, 1, 2]
        assert done.has_splits, "splits stay"

    def test_several_labels(self, manifest, frameflow) -> None:
        sets = ["serve|run", "run", "none", "serve"]
        rows = Manifest.read(manifest)
        rows.replace(
            replace(sample, label=sets[n % 4], split="") for n, sample in enumerate(rows)
        ).write(manifest)
        said = frameflow("data split manifest.csv --multilabel")
        assert said.code == 0
        assert " 2 labels" in said.out
        first = [line.split()[0] for line in said.out.splitlines() if line.strip()]
        assert [word for word in first if word in ("run", "serve", "serve|run", "none")] == [
            "run", "serve", "none",
        ]  # fmt: skip
        for split in ("train", "val", "test"):
            found = Manifest.read(manifest).split(split).label_names(multilabel=True)
            assert found == ["run", "serve"]
        assert frameflow("data check manifest.csv --no-content --multilabel").code == 0
        rows.replace([replace(rows[0], label="serve||run")]).write(manifest)
        assert "hold an empty one" in frameflow("data split manifest.csv --multilabel").err

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ("--val 0.5 --test 0.5", "must be < 1"),
            ("--val -1", "val (-1.0)"),
            ("--folds 1", "folds (1)"),
            ("--folds 99", "99 folds"),
        ],
    )
    def test_mistakes_change_nothing(self, options: str, says: str, manifest, frameflow) -> None:
        before = manifest.read_bytes()
        said = frameflow(f"data split manifest.csv {options}")
        assert said.code == 2
        assert says in said.error
        assert manifest.read_bytes() == before


class TestGroups:
    def test_scenes_are_found(self, videos, frameflow) -> None:
        frameflow("data scan VIDEOS")
        said = frameflow("data groups manifest.csv -o grouped.csv")
        assert said.code == 0
        assert said.out == "Wrote grouped.csv: 24 samples, 2 labels, 12 groups.\n"
        pairs = [
            {f"{label}/{2 * scene:02d}", f"{label}/{2 * scene + 1:02d}"}
            for label in ("Rückhand", "lob, hoch")
            for scene in range(6)
        ]
        assert scenes(Manifest.read("grouped.csv")) == pairs


class TestCheck:
    def test_sound_data(self, manifest, frameflow) -> None:
        said = frameflow("data check manifest.csv")
        assert said.code == 0
        assert "All is well: 24 samples read, 24 clips compared by content" in said.out

    def test_json_and_nothing_else(self, manifest, frameflow) -> None:
        said = frameflow("data check manifest.csv --json")
        assert json.loads(said.out)["ok"] is True
        assert said.code == 0

    def test_bad_videos_are_named_with_their_reasons(self, manifest, frameflow, spoil) -> None:
        reasons = spoil(Path("VIDEOS/Rückhand"))
        frameflow("data scan VIDEOS")
        said = frameflow("data check manifest.csv")
        assert said.code == 1
        for name, reason in reasons.items():
            (line,) = [line for line in said.out.splitlines() if name in line]
            assert reason in line
        assert "4 of 28 samples cannot be used" in said.out
        found = json.loads(frameflow("data check manifest.csv --json").out)
        assert {Path(bad["video"]).name for bad in found["unusable"]} == set(reasons)

    def test_the_cure_of_a_leak_mends_it(self, videos, frameflow, edit) -> None:
        frameflow("data", "scan", "VIDEOS", "-o", "my clips.csv")
        edit(
            Path("my clips.csv"), "split", lambda _, number: "test" if number % 4 == 1 else "train"
        )
        said = frameflow("data", "check", "my clips.csv")
        assert said.code == 1
        assert "One scene in two splits" in said.out
        cures = re.findall(r"`frameflow (.*?)`", said.out)
        assert [shlex.split(cure)[:2] for cure in cures] == [["data", "groups"], ["data", "split"]]
        for cure in cures:
            assert frameflow(cure).code == 0
        assert frameflow("data", "check", "my clips.csv").code == 0

    def test_missing_videos_are_listed_and_not_refused(self, manifest, frameflow, edit) -> None:
        edit(manifest, "video", lambda row, number: "gone.mp4" if number == 3 else row["video"])
        said = frameflow("data check manifest.csv --no-content")
        assert said.code == 1
        assert re.search(r"5 +gone\.mp4 +does not exist", said.out)


@pytest.mark.parametrize("command", ["split", "groups", "check"])
class TestManifestsThatAreNone:
    def test_missing(self, command: str, videos, frameflow) -> None:
        said = frameflow(f"data {command} gone.csv")
        assert said.code == 2
        assert "gone.csv does not exist" in said.error

    def test_a_folder(self, command: str, videos, frameflow) -> None:
        said = frameflow(f"data {command} VIDEOS")
        assert said.code == 2
        assert "`frameflow data scan VIDEOS -o manifest.csv`" in said.error


def test_faults_name_their_rows(videos, frameflow) -> None:
    Path("m.csv").write_text("video,label,split\na.mp4,x,trian\n,x,test\n", encoding="utf-8")
    said = frameflow("data split m.csv")
    assert said.code == 2
    assert "row 2: split 'trian' is none of train, val, test. Did you mean 'train'?" in said.err
    assert "row 3: the video is empty" in said.err


def test_a_byte_order_mark_and_any_label(videos, frameflow) -> None:
    frameflow("data scan VIDEOS")
    path = Path("manifest.csv")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    said = frameflow("data split manifest.csv")
    assert said.code == 0
    assert "lob, hoch" in said.out
    assert "Rückhand" in said.out
    assert Manifest.read(path).labels == ["Rückhand", "lob, hoch"]


class TestUcf101:
    @pytest.fixture
    def lists(self, film, tmp_path: Path, monkeypatch) -> Path:
        """Two classes, the lists as the authors write them (CRLF), videos as they circulate."""
        monkeypatch.chdir(tmp_path)
        folder = Path("ucfTrainTestlist")
        folder.mkdir()
        (folder / "classInd.txt").write_bytes(b"1 Archery\r\n2 HandstandPushups\r\n")
        train, test = [], []
        for number, (label, name) in enumerate(
            [("Archery", "Archery"), ("HandstandPushups", "HandStandPushups")], start=1
        ):
            for group in range(1, 5):
                line = f"{label}/v_{name}_g{group:02d}_c01.avi"
                (test.append(line) if group == 1 else train.append(f"{line} {number}"))
                circulating = f"v_{name}_g{group:02d}_c01.avi".replace("HandStand", "Handstand")
                film(Path("UCF-101") / label / circulating, scene=group, seed=group)
        (folder / "trainlist01.txt").write_bytes("\r\n".join(train).encode())
        (folder / "testlist01.txt").write_bytes("\r\n".join(test).encode())
        return folder

    LINE = "data import ucf101 UCF-101 --annotations ucfTrainTestlist --fold 1 -o ucf101.csv"

    def test_import(self, lists, frameflow) -> None:
        said = frameflow(self.LINE)
        assert said.code == 0
        assert "Wrote ucf101.csv: 8 samples, 2 labels, 8 groups" in said.out
        done = Manifest.read("ucf101.csv")
        assert {Path(s.video).name for s in done.split("test")} == {
            "v_Archery_g01_c01.avi",
            "v_HandstandPushups_g01_c01.avi",
        }

    def test_missing_videos_are_counted_and_listed(self, lists, frameflow) -> None:
        Path("UCF-101/Archery/v_Archery_g02_c01.avi").unlink()
        said = frameflow(self.LINE)
        assert said.code == 2
        assert "1 of the 8 videos are not in" in said.error
        assert "Archery/v_Archery_g02_c01.avi" in said.error
        assert not Path("ucf101.csv").exists()
        assert frameflow(f"{self.LINE} --allow-missing").code == 0
        assert len(Manifest.read("ucf101.csv")) == 7

    def test_there_are_three_folds(self, lists, frameflow) -> None:
        assert frameflow(self.LINE.replace("--fold 1", "--fold 4")).code == 2

    def test_fetch_without_a_network_says_where_to_get_it(
        self, tmp_path: Path, monkeypatch, frameflow
    ) -> None:
        closed = replace(fetch.DATASETS["ucf101"], base_url="http://127.0.0.1:9/")
        monkeypatch.setitem(fetch.DATASETS, "ucf101", closed)
        said = frameflow("data", "fetch", "ucf101", "--into", tmp_path / "ucf101")
        assert said.code == 1
        assert "https://www.crcv.ucf.edu/data/UCF101.php" in said.error


def test_parquet_goes_the_whole_way(manifest, frameflow) -> None:
    assert frameflow("data split manifest.csv --folds 2 -o m.parquet").code == 0
    assert frameflow("data check m.parquet").code == 0
    with Path("manifest.csv").open(newline="", encoding="utf-8") as file:
        labels = [row["label"] for row in csv.DictReader(file)]
    assert [sample.label for sample in Manifest.read("m.parquet")] == labels
    assert isinstance(Manifest.read("m.parquet")[0], Sample)
