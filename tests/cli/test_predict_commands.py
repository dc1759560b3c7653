# ruff: noqa: ARG002  (fixtures that are wanted for what they make)
"""`frameflow evaluate` and `frameflow predict` as a user types them.

Of bad input, a full disk during extraction is tested in tests/features (test_extract.py,
test_store.py) and files that may not be read in tests/video (test_probe.py).
"""

import csv
import io
import json
import re
import shutil
from pathlib import Path

import pytest


class TestEvaluate:
    def test_the_score_says_what_it_is(self, run, frameflow) -> None:
        said = frameflow("evaluate RUN --engine torch")
        assert said.code == 0
        first, second, *_ = said.out.splitlines()
        assert first.startswith("test: top-1 ")
        assert "95 % interval" in first
        for part in ("4 samples of 2 groups", "1 view", "seed 0", "mobilenetv3_small_050"):
            assert part in second
        assert "Wrote the report RUN/report.html." in said.err

    def test_json_and_nothing_else(self, run, frameflow) -> None:
        said = frameflow("evaluate RUN --json --engine torch")
        assert said.code == 0
        found = json.loads(said.out)
        assert found == json.loads((run / "metrics.json").read_text(encoding="utf-8"))
        assert found["split"] == "test"

    @pytest.mark.parametrize(
        ("options", "folder", "says"),
        [
            ("--split train", "train", "SEEN IN TRAINING"),
            ("--split val", "val", "SEEN IN TRAINING"),
            ("--split all", "all", "SEEN IN TRAINING"),
            ("--views 2", "test-views2", "2 views"),
        ],
    )
    def test_other_scores_leave_the_first(
        self, options: str, folder: str, says: str, run, frameflow
    ) -> None:
        before = (run / "metrics.json").read_bytes()
        said = frameflow(f"evaluate RUN {options} --engine torch")
        assert said.code == 0
        assert says in said.out
        assert (run / "evaluations" / folder / "report.html").exists()
        assert (run / "metrics.json").read_bytes() == before

    def test_other_clips_with_groups_of_their_own(self, run, film, frameflow) -> None:
        """Scenes found by `data groups` here and in training must not collide by name."""
        for label in ("lob, hoch", "Rückhand"):
            for clip in range(2):
                film(Path("NEW", label, f"{clip}.mp4"), scene=200 + clip, seed=200 + clip)
        assert frameflow("data scan NEW -o new.csv").code == 0
        assert frameflow("data groups new.csv").code == 0
        said = frameflow("evaluate RUN new.csv --engine torch")
        assert said.code == 0, said.err
        assert "4 samples of 2 groups" in said.out

    def test_clips_of_the_training_are_refused_unless_allowed(self, run, frameflow) -> None:
        frameflow("data scan VIDEOS -o all.csv")
        shutil.copy(run / "manifest.csv", "copy.csv")  # its paths lead from the run: nowhere here
        own = run / "manifest.csv"
        (run / "other.csv").write_text(
            own.read_text(encoding="utf-8").replace(",train,", ",test,"), encoding="utf-8"
        )
        said = frameflow("evaluate RUN RUN/other.csv --engine torch")
        assert said.code == 2
        assert "clips that the run was trained on" in said.error
        said = frameflow("evaluate RUN RUN/other.csv --allow-leak --engine torch")
        assert said.code == 0
        assert "LEAKY SPLIT" in said.out

    def test_one_bad_video_of_few_does_not_end_it(self, run, frameflow) -> None:
        """`max_bad` is a share of the run's manifest, not of a small test split."""
        with (run / "manifest.csv").open(newline="", encoding="utf-8") as file:
            test = [row["video"] for row in csv.DictReader(file) if row["split"] == "test"]
        (run / test[0]).resolve().write_bytes(b"")
        said = frameflow("evaluate RUN --engine torch")
        assert said.code == 0, said.err
        assert "1 video set aside as unreadable" in said.out
        assert "is empty (0 bytes)" in (run / "report.html").read_text(encoding="utf-8")
        for name in test[1:]:
            (run / name).resolve().write_bytes(b"")
        said = frameflow("evaluate RUN --engine torch")
        assert said.code == 1
        assert "can be read" in said.error

    @pytest.mark.parametrize(
        ("line", "says"),
        [
            ("evaluate gone", "There is no run gone"),
            ("evaluate RUN/manifest.csv", "is a file: name the folder of a run"),
            ("evaluate VIDEOS", "is no finished run"),
            ("evaluate RUN --split tset", "Did you mean 'test'?"),
            ("evaluate RUN --views 0", "views (0)"),
            ("evaluate RUN gone.csv", "gone.csv does not exist"),
            ("evaluate RUN VIDEOS", "`frameflow data scan VIDEOS"),
            ("evaluate RUN unlabelled.csv", "nothing to score"),
            ("evaluate RUN other.csv", "does not know 1 of the labels"),
            ("evaluate BROKEN", "model.json"),
        ],
    )
    def test_mistakes(self, line: str, says: str, run, frameflow) -> None:
        clip = "VIDEOS/Rückhand/00.mp4"
        Path("unlabelled.csv").write_text(f"video,label\n{clip},\n", encoding="utf-8")
        Path("other.csv").write_text(f"video,label\n{clip},Rückhande\n", encoding="utf-8")
        shutil.copytree(run, "BROKEN")
        Path("BROKEN/model.json").write_text("{", encoding="utf-8")
        said = frameflow(line)
        assert said.code == 2
        assert says in said.error

    def test_a_stopped_run_says_how_to_go_on(self, run, frameflow) -> None:
        for name in ("model.json", "model.safetensors"):
            (run / name).unlink()
        shutil.rmtree(run / "checkpoints")  # stopped before the first epoch
        for command in ("evaluate RUN", "predict RUN VIDEOS"):
            said = frameflow(command)
            assert said.code == 2
            assert "frameflow train --resume RUN" in said.error


class TestPredict:
    def test_one_video_as_a_table(self, run, frameflow) -> None:
        said = frameflow("predict", run, "VIDEOS/lob, hoch/00.mp4", "--engine", "torch")
        assert said.code == 0
        assert said.err == ""
        assert "VIDEOS/lob, hoch/00.mp4" in said.out
        rows = [line.rsplit(maxsplit=1) for line in said.out.splitlines() if "0." in line]
        shares = {label.strip(): float(share) for label, share in rows if "/" not in label}
        assert shares.keys() == {"lob, hoch", "Rückhand"}
        assert sum(shares.values()) == pytest.approx(1, abs=0.002)

    def test_several_are_a_row_each(self, run, frameflow) -> None:
        said = frameflow("predict RUN VIDEOS --engine torch")
        assert said.code == 0
        assert sum(".mp4" in line for line in said.out.splitlines()) == 24

    def test_several_labels(self, run, frameflow) -> None:
        from frameflow.config import load_recipe
        from frameflow.models.recognizer import Recognizer

        recognizer = Recognizer.load(run)
        recognizer.recipe = load_recipe(recognizer.recipe, ["multilabel=true"])
        recognizer.save(run)
        said = frameflow("predict RUN VIDEOS --engine torch --json")
        assert said.code == 0
        for found in json.loads(said.out):
            shares = {entry["label"]: entry["probability"] for entry in found["topk"]}
            assert set(found["present"]) == {name for name, p in shares.items() if p > 0.5}
        table = frameflow("predict RUN VIDEOS --engine torch").out
        assert "present" in table
        assert sum(".mp4" in line for line in table.splitlines()) == 24
        one = frameflow("predict", run, "VIDEOS/lob, hoch/00.mp4", "--engine", "torch").out
        said = re.findall(r" (0\.\d+|1\.0+) +(yes|no)\b", one)
        assert [answer == "yes" for _, answer in said] == [float(share) > 0.5 for share, _ in said]
        assert len(said) == 2

    def test_sets_and_clips_that_are_none_of_these(self, run, frameflow) -> None:
        from frameflow.evaluation.abstain import Refusal
        from frameflow.models.recognizer import Recognizer

        found = json.loads(frameflow("predict RUN VIDEOS --engine torch --json").out)
        assert all("set" not in entry for entry in found), "the run has no sets"
        tops = sorted(entry["probability"] for entry in found)
        threshold = (tops[11] + tops[12]) / 2
        refusal = Refusal(0.1, 1 - tops[6], threshold, 0.5, None, 50, 12, "groups", "50 clips")
        recognizer = Recognizer.load(run)
        recognizer.save(run, extra=recognizer.extra | {"refusal": refusal.to_dict()})

        found = json.loads(frameflow("predict RUN VIDEOS --engine torch --json").out)
        assert [entry["abstained"] for entry in found].count(True) == 12
        assert {len(entry["set"]) for entry in found} == {1}
        table = frameflow("predict RUN VIDEOS --engine torch").out
        assert table.count("none of these (") == 12
        assert " set" in table.splitlines()[0] + table.splitlines()[1]
        for entry in found[:1] + [entry for entry in found if entry["abstained"]][:1]:
            one = frameflow("predict", run, entry["video"], "--engine", "torch").out
            assert ("none of these: " in one) == entry["abstained"]
            answers = re.findall(r"(lob, hoch|Rückhand) +[01]\.\d+ +(yes|no)\b", one)
            assert {label for label, said in answers if said == "yes"} == set(entry["set"])
            assert len(answers) == 2

    def test_files_folders_and_globs_each_once(self, run, frameflow) -> None:
        names = ["VIDEOS/lob, hoch", "VIDEOS/*/0[12].mp4", "VIDEOS/Rückhand/11.mp4"]
        said = frameflow("predict", run, *names, "--json", "--topk", 1, "--engine", "torch")
        assert said.code == 0
        found = json.loads(said.out)
        assert len(found) == len({entry["video"] for entry in found}) == 12 + 2 + 1
        assert all(len(entry["topk"]) == 1 for entry in found)

    def test_views(self, run, frameflow) -> None:
        line = "predict RUN VIDEOS/Rückhand/00.mp4 --json --engine torch"
        one, three = (json.loads(frameflow(f"{line} --views {n}").out)[0] for n in (1, 3))
        assert (one["views"], three["views"]) == (1, 3)
        assert one["probability"] != three["probability"]

    def test_csv(self, run, frameflow) -> None:
        Path("VIDEOS/zero.mp4").write_bytes(b"")
        said = frameflow("predict RUN VIDEOS --csv found.csv --engine torch")
        assert said.code == 1
        assert said.out == ""
        assert "Wrote found.csv: 24 predicted, 1 failed." in said.err
        rows = list(csv.DictReader(io.StringIO(Path("found.csv").read_text(encoding="utf-8"))))
        assert len(rows) == 25
        (failed,) = [row for row in rows if row["error"]]
        assert failed["video"] == "VIDEOS/zero.mp4"
        assert {row["label_1"] for row in rows} <= {"lob, hoch", "Rückhand", ""}

    def test_unreadable_files_are_named_and_the_others_predicted(
        self, run, spoil, frameflow
    ) -> None:
        reasons = spoil(Path("VIDEOS/Rückhand")) | {"gone.mp4": "does not exist"}
        names = ["VIDEOS", "VIDEOS/Rückhand/gone.mp4"]
        said = frameflow("predict", run, *names, "--json", "--engine", "torch")
        assert said.code == 1
        lines = said.err.splitlines()
        assert len(lines) == len(reasons), "a line each"
        for name, reason in reasons.items():
            (line,) = [line for line in lines if name in line]
            assert line.startswith(f"VIDEOS/Rückhand/{name}: {reason}")
        found = json.loads(said.out)
        failed = {Path(entry["video"]).name for entry in found if "error" in entry}
        assert failed == reasons.keys()
        assert sum("label" in entry for entry in found) == 24

    def test_a_broken_frame_costs_that_frame(self, run, frameflow) -> None:
        import av
        import numpy as np

        path = Path("broken.avi")
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mjpeg", rate=25)
            stream.width, stream.height, stream.pix_fmt = 96, 64, "yuvj420p"
            for number in range(12):
                picture = np.full((64, 96, 3), 20 * number, dtype=np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
        with av.open(str(path)) as container:
            packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
        data = path.read_bytes()
        path.write_bytes(data.replace(packets[6], b"\xff" * len(packets[6])))
        said = frameflow("predict RUN broken.avi --engine torch --views 12")
        assert said.code == 0
        assert said.err.startswith("Warning: broken.avi: 1 of 12 frames do not decode (6)")

    @pytest.mark.parametrize(("size", "frames"), [((96, 64), 1), ((7680, 4320), 1)])
    def test_one_frame_small_or_8k(
        self, size: tuple[int, int], frames: int, run, frameflow
    ) -> None:
        import av

        with av.open("clip.mkv", "w") as container:
            stream = container.add_stream("mjpeg", rate=25)
            stream.width, stream.height, stream.pix_fmt = *size, "yuvj420p"
            frame = av.VideoFrame(*size, "yuvj420p")
            for plane in frame.planes:
                plane.update(bytes([128]) * plane.buffer_size)
            container.mux([*stream.encode(frame), *stream.encode(None)])
        said = frameflow("predict RUN clip.mkv --engine torch --json")
        assert said.code == 0, said.err
        assert len(json.loads(said.out)) == frames

    @pytest.mark.parametrize(
        ("line", "says"),
        [
            ("predict gone VIDEOS", "There is no run gone"),
            ("predict RUN empty", "The folder empty holds no video"),
            ("predict RUN 'VIDEOS/*.avi'", "matches nothing"),
            ("predict RUN VIDEOS --topk 0", "Invalid value for '--topk'"),
            ("predict RUN VIDEOS --engine trt", "Invalid value for '--engine'"),
            ("predict RUN", "Missing argument"),
        ],
    )
    def test_mistakes(self, line: str, says: str, run, frameflow) -> None:
        Path("empty").mkdir()
        said = frameflow(line)
        assert said.code == 2
        assert says in said.error

    def test_a_table_that_cannot_be_written(self, run, frameflow) -> None:
        said = frameflow("predict RUN VIDEOS/Rückhand/00.mp4 --engine torch --csv VIDEOS")
        assert said.code == 2
        assert said.error == "VIDEOS is a folder: name a file in it."
