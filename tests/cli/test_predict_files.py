"""What `frameflow predict` writes: tables that go on where they stopped, pictures, frames."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from frameflow.inference.predictor import Predictor

FEW = "VIDEOS/Rückhand/0[0-3].mp4"


def table(path: str) -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def stops_after(monkeypatch):
    """Ctrl-C after so many videos, or never again."""
    real = Predictor.stream

    def set_to(videos: int | None) -> None:
        def stream(self, *arguments, **options):
            for number, result in enumerate(real(self, *arguments, **options)):
                if number == videos:
                    raise KeyboardInterrupt
                yield result

        monkeypatch.setattr(Predictor, "stream", real if videos is None else stream)

    return set_to


class TestResume:
    def test_an_interrupt_leaves_what_was_written_and_resume_goes_on(
        self, run, frameflow, stops_after
    ) -> None:
        line = f"predict {run} {FEW} --engine torch --csv a.csv --jsonl a.jsonl"
        stops_after(2)
        said = frameflow(f"{line} --json")
        assert said.code == 130
        assert "2 of 4 videos were done. Add --resume to go on." in said.err
        assert [entry["video"][-6:] for entry in json.loads(said.out)] == ["00.mp4", "01.mp4"]
        assert len(table("a.csv")) == len(Path("a.jsonl").read_text().splitlines()) == 2
        stops_after(None)
        said = frameflow(f"{line} --resume")
        assert said.code == 0, said.err
        assert "2 of 4 videos are there." in said.err
        assert "Wrote a.csv: 2 predicted, 0 failed, 2 there before." in said.err
        assert (
            frameflow(f"predict {run} {FEW} --engine torch --csv b.csv --jsonl b.jsonl").code == 0
        )
        for name in ("csv", "jsonl"):
            assert Path(f"a.{name}").read_text() == Path(f"b.{name}").read_text()
        said = frameflow(f"{line} --resume")
        assert said.code == 0
        assert "4 of 4 videos are there." in said.err
        assert Path("a.csv").read_text() == Path("b.csv").read_text()

    def test_what_failed_is_tried_again(self, run, film, frameflow) -> None:
        Path("VIDEOS/Rückhand/zero.mp4").write_bytes(b"")
        line = f"predict {run} {FEW} VIDEOS/Rückhand/zero.mp4 --engine torch --csv a.csv"
        assert frameflow(line).code == 1
        assert table("a.csv")[-1]["error"] == "is empty (0 bytes)"
        film(Path("VIDEOS/Rückhand/zero.mp4"), scene=1, seed=1)
        said = frameflow(f"{line} --resume")
        assert said.code == 0
        rows = table("a.csv")
        assert len(rows) == 5
        assert not any(row["error"] for row in rows)

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ("--topk 1", "a.csv cannot be resumed: it ranks 2 labels"),
            ("--views 3", "a.csv cannot be resumed: it is of another model"),
        ],
    )
    def test_another_form_is_refused(self, options: str, says: str, run, frameflow) -> None:
        line = f"predict {run} VIDEOS/Rückhand/00.mp4 --engine torch --csv a.csv"
        assert frameflow(line).code == 0
        before = Path("a.csv").read_bytes()
        said = frameflow(f"{line} --resume {options}")
        assert said.code == 2
        assert says in said.error
        assert Path("a.csv").read_bytes() == before

    def test_without_resume_a_table_is_begun_anew(self, run, frameflow) -> None:
        for _ in range(2):
            assert frameflow(f"predict {run} {FEW} --engine torch --csv a.csv").code == 0
            assert len(table("a.csv")) == 4

    def test_json_lines_for_a_pipe(self, run, frameflow) -> None:
        said = frameflow(f"predict {run} {FEW} VIDEOS/gone.mp4 --engine torch --jsonl -")
        assert said.code == 1
        found = [json.loads(line) for line in said.out.splitlines()]
        assert len(found) == 5
        assert found[-1] == {"video": "VIDEOS/gone.mp4", "error": "does not exist"}


class TestPictures:
    def test_one_video(self, run, frameflow) -> None:
        names = ["--gif", "a.gif", "--video", "a.mp4", "--strip", "a.png"]
        said = frameflow("predict", run, "VIDEOS/Rückhand/00.mp4", "--engine", "torch", *names)
        assert said.code == 0, said.err
        assert "Rückhand" in said.out
        for name in names[1::2]:
            assert f"Wrote {name}." in said.err
        with Image.open("a.gif") as gif:
            assert gif.n_frames == 10

    def test_several_go_into_a_folder(self, run, film, frameflow) -> None:
        film(Path("VIDEOS/lob, hoch/00.mp4"), scene=1, seed=1)
        names = ["VIDEOS/lob, hoch/00.mp4", FEW, "VIDEOS/gone.mp4"]
        said = frameflow("predict", run, *names, "--gif", "new/gifs", "--engine", "torch")
        assert said.code == 1
        assert "VIDEOS/gone.mp4: does not exist" in said.err
        assert sorted(path.name for path in Path("new/gifs").iterdir()) == [
            "01.gif", "02.gif", "03.gif", "Rückhand-00.gif", "lob_ hoch-00.gif",
        ]  # fmt: skip

    def test_none_of_these_is_drawn(self, run, frameflow) -> None:
        from frameflow.evaluation.abstain import Refusal
        from frameflow.models.recognizer import Recognizer

        line = ["predict", run, "VIDEOS/Rückhand/00.mp4", "--engine", "torch", "--csv", "a.csv"]
        assert frameflow(*line, "--strip", "answered.png").code == 0
        recognizer = Recognizer.load(run)
        refusal = Refusal(0.1, 0.5, 1.1, 0.5, None, 50, 12, "groups", "50 clips")
        recognizer.save(run, extra=recognizer.extra | {"refusal": refusal.to_dict()})
        assert frameflow(*line, "--strip", "withheld.png").code == 0
        assert table("a.csv")[0]["abstained"] == "yes"
        answered, withheld = (
            np.asarray(Image.open(f"{name}.png")) for name in ("answered", "withheld")
        )
        assert answered.shape == withheld.shape
        assert (answered != withheld).any()


class TestBadInput:
    def test_unreadable_videos_have_no_pictures_and_the_others_have(
        self, run, spoil, frameflow
    ) -> None:
        reasons = spoil(Path("VIDEOS/Rückhand"))
        names = ["--gif", "gifs", "--per-frame", "f.csv", "--csv", "a.csv"]
        said = frameflow("predict", run, "VIDEOS/Rückhand", "--engine", "torch", *names)
        assert said.code == 1
        for name, reason in reasons.items():
            assert f"{name}: {reason}" in said.err
        assert len(list(Path("gifs").iterdir())) == 12
        assert len({row["video"] for row in table("f.csv")}) == 12
        assert sum(bool(row["error"]) for row in table("a.csv")) == len(reasons)

    def test_a_length_that_is_a_lie(self, run, film, frameflow) -> None:
        """Half of the packets are gone, and the index still names them."""
        whole = film(Path("whole.mkv"), scene=3, seed=3, frames=60).read_bytes()
        Path("half.mkv").write_bytes(whole[: len(whole) // 2])
        said = frameflow(f"predict {run} half.mkv --engine torch --gif a.gif --strip a.png")
        assert said.code == 0, said.err
        with Image.open("a.gif") as gif:
            assert 1 <= gif.n_frames < 50

    def test_a_picture_that_cannot_be_written_ends_it_and_keeps_the_rows(
        self, run, frameflow
    ) -> None:
        Path("gifs/02.gif").mkdir(parents=True)
        said = frameflow(f"predict {run} {FEW} --engine torch --gif gifs --csv a.csv")
        assert said.code == 1
        assert "gifs/02.gif cannot be written" in said.error
        assert len(table("a.csv")) == 2
        Path("gifs/02.gif").rmdir()
        assert frameflow(f"predict {run} {FEW} --engine torch --csv a.csv --resume").code == 0
        assert len(table("a.csv")) == 4


class TestFrames:
    def test_a_row_for_every_frame(self, run, frameflow) -> None:
        said = frameflow(f"predict {run} {FEW} --engine torch --per-frame f.csv --rolling 3")
        assert said.code == 0, said.err
        assert "Wrote f.csv: 48 frames." in said.err
        rows = table("f.csv")
        labels = list(rows[0])[: list(rows[0]).index("prediction")]
        assert labels == ["Rückhand", "lob, hoch"]
        assert [int(row["frame"]) for row in rows] == [*range(12)] * 4
        plain = frameflow(f"predict {run} {FEW} --engine torch --per-frame g.csv")
        assert plain.code == 0
        before = [float(row["Rückhand"]) for row in table("g.csv")[:12]]
        after = [float(row["Rückhand"]) for row in rows[:12]]
        means = [np.mean(before[max(0, n - 2) : n + 1]) for n in range(12)]
        np.testing.assert_allclose(after, means, atol=1e-5)

    def test_frames_are_drawn_where_they_are_asked_for(self, run, frameflow) -> None:
        line = f"predict {run} VIDEOS/Rückhand/00.mp4 --engine torch --window 0.3 --rolling 1"
        assert frameflow(f"{line} --video a.mp4 --gif a.gif").code == 0
        with Image.open("a.gif") as gif:
            shown = [np.asarray(gif.convert("RGB"))[-30:] for n in range(10) if gif.seek(n) is None]
        assert any((frame[:20] != shown[0][:20]).any() for frame in shown)

    def test_a_video_that_fails_has_no_rows(self, run, frameflow) -> None:
        Path("VIDEOS/text.mp4").write_text("no video\n" * 40)
        said = frameflow(f"predict {run} VIDEOS/text.mp4 {FEW} --engine torch --per-frame f.csv")
        assert said.code == 1
        assert {row["video"][-6:] for row in table("f.csv")} == {f"0{n}.mp4" for n in range(4)}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--gif a.gif", "--gif a.gif is one file, and there are 24 videos: name a folder"),
        ("--strip a.gif", "must end in .png or .jpg"),
        ("--video a.csv", "must end in .mp4"),
        ("--csv gone/a.csv", "There is no folder gone to write a.csv into: make it."),
        ("--per-frame gone/a.csv", "There is no folder gone"),
        ("--csv a.csv --jsonl a.csv", "a.csv is named for two tables"),
        ("--resume", "name it with --csv or --jsonl"),
        ("--resume --csv a.csv --per-frame b.csv", "not with --per-frame"),
        ("--rolling 5", "--rolling is for frames: add --per-frame"),
        ("--window 5", "--window is for frames: add --per-frame"),
        ("--rolling 0 --per-frame a.csv", "Invalid value for '--rolling'"),
        ("--jsonl - --json", "--jsonl - prints JSON lines"),
    ],
)
def test_mistakes_are_told_before_any_work(options: str, says: str, run, frameflow) -> None:
    (run / "model.json").write_text("{")  # which would be told if it were read
    said = frameflow(f"predict {run} VIDEOS {options}")
    assert said.code == 2
    assert says in said.error
    assert not Path("a.csv").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_that_may_not_be_written(run, frameflow) -> None:
    Path("locked").mkdir(mode=0o500)
    said = frameflow(f"predict {run} VIDEOS --csv locked/a.csv")
    assert said.code == 2
    assert "locked/a.csv may not be written" in said.error


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk(run, frameflow) -> None:
    said = frameflow(f"predict {run} {FEW} --engine torch --csv /dev/full")
    assert said.code == 1
    assert "The disk is full: /dev/full keeps the rows it has." in said.error


_MEMORY = """
import resource, sys
from frameflow.cli import main
sys.argv = ["frameflow", *sys.argv[1:]]
try:
    main()
except SystemExit:
    pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_thousands_of_videos_in_flat_memory(run) -> None:
    import shutil

    peaks = []
    for count in (200, 2000):
        folder = Path(f"many{count}")
        folder.mkdir()
        for number in range(count):
            shutil.copy("VIDEOS/Rückhand/00.mp4", folder / f"{number}.mp4")
        options = ["--engine", "torch", "--csv", "a.csv", "--jsonl", "a.jsonl"]
        done = subprocess.run(
            [sys.executable, "-c", _MEMORY, "predict", str(run), str(folder), *options],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert len(table("a.csv")) == count
        peaks.append(int(done.stdout.split()[-1]))
    assert peaks[1] < 1.05 * peaks[0], peaks
