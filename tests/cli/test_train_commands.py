# ruff: noqa: ARG002  (fixtures that are wanted for what they make)
"""`frameflow train`, `crossval`, `features` and `recipes` as a user types them."""

import csv
import json
import re
import shutil
from pathlib import Path

import pytest

from frameflow.data.manifest import Manifest

FILES = [
    "README.md",
    "checkpoints",
    "history.csv",
    "manifest.csv",
    "metrics.json",
    "model.json",
    "model.safetensors",
    "predictions.csv",
    "recipe.yaml",
    "report.html",
    "results.json",
    "tensorboard",
    "training.json",
]


def alternating(_: object, number: int) -> str:
    """Splits by clip: every scene has one clip in train and one in test."""
    return "test" if number % 2 else "train"


class TestTrain:
    def test_a_folder_of_class_folders(self, videos, frameflow, fast) -> None:
        (videos / "notes.txt").write_text("x")
        said = frameflow("train", videos, *fast)
        assert said.code == 0
        steps = [
            "Found 24 videos in 2 classes.",
            "Left out 1: notes.txt",
            "Found 12 groups in 24 samples.",
            "Split 24 samples of 12 groups",
            "The run is in runs/default-VIDEOS-1.",
            "Training the statistics head",
            "Scoring the",
        ]
        places = [said.err.index(step) for step in steps]
        assert places == sorted(places), said.err
        assert said.out.startswith("test: top-1 ")
        assert "95 % interval" in said.out
        run = Path("runs/default-VIDEOS-1")
        assert sorted(path.name for path in run.iterdir()) == FILES
        follow = re.search(r"Next: +frameflow (predict \S+) VIDEO", said.out)
        assert follow
        assert frameflow(*follow[1].split(), videos / "lob, hoch" / "00.mp4").code == 0

    def test_a_manifest_step_by_step_gives_the_same_as_the_folder(
        self, manifest, run, frameflow, fast
    ) -> None:
        assert frameflow("train", manifest, "-o", "again", *fast).code == 0
        one, two = (json.loads(Path(r, "metrics.json").read_text()) for r in (run, "again"))
        assert [one[k] for k in ("samples", "groups", "top1")] == [
            two[k] for k in ("samples", "groups", "top1")
        ]

    def test_fold(self, manifest, frameflow, fast) -> None:
        frameflow("data split manifest.csv --folds 3")
        said = frameflow("train", manifest, "--fold", 1, "-o", "run", *fast)
        assert said.code == 0
        assert "Fold 1 is the test split" in said.err
        done = Manifest.read("run/manifest.csv")
        assert {sample.fold for sample in done.split("test")} == {1}
        assert 1 not in {sample.fold for sample in done if sample.split != "test"}

    def test_classes_whose_names_hold_commas(self, videos, film, frameflow, fast) -> None:
        for clip in range(4):
            film(videos / "third" / f"{clip}.mp4", scene=50 + clip, seed=50 + clip)
        said = frameflow("train", videos, "--classes", '"lob, hoch",third', "-o", "run", *fast)
        assert said.code == 0
        assert Manifest.read("run/manifest.csv").labels == ["lob, hoch", "third"]

    def test_a_recipe_file_and_a_seed(self, manifest, frameflow, fast) -> None:
        Path("mine.yaml").write_text("name: mine\nhead: {name: mean}\n", encoding="utf-8")
        options = ["--recipe", "mine.yaml", "--seed", 7, "-o", "run"]
        assert frameflow("train", manifest, *options, *fast).code == 0
        written = Path("run/recipe.yaml").read_text(encoding="utf-8")
        assert "name: mine" in written
        assert "seed: 7" in written
        # Complete: the run can be repeated from it alone.
        again = ["--recipe", "run/recipe.yaml", "-o", "again", "--engine", "torch"]
        assert frameflow("train", manifest, *again).code == 0
        history = [
            [line.rsplit(",", 1)[0] for line in Path(run, "history.csv").read_text().splitlines()]
            for run in ("run", "again")
        ]
        assert history[0] == history[1], "but for the seconds"

    def test_resume_goes_on_to_the_same_numbers(self, run, frameflow) -> None:
        before = json.loads((run / "metrics.json").read_text())
        for name in ("model.json", "model.safetensors", "metrics.json", "report.html"):
            (run / name).unlink()
        said = frameflow("train", "VIDEOS", "--resume", run, "--engine", "torch")
        assert said.code == 0
        after = json.loads((run / "metrics.json").read_text())
        assert after["top1"] == before["top1"]
        assert after["log_loss"] == before["log_loss"]
        said = frameflow("train", "--resume", run)
        assert said.code == 0
        assert "is finished already" in said.err

    @pytest.mark.parametrize(
        ("line", "says"),
        [
            ("train", "Name a folder of class folders or a manifest"),
            ("train gone", "gone does not exist"),
            ("train VIDEOS --recipe defualt", "Did you mean 'default'"),
            ("train VIDEOS --recipe gone.yaml", "The recipe gone.yaml cannot be read"),
            ("train VIDEOS --set train.lrr=1", "Did you mean 'lr'"),
            ("train VIDEOS --set train.lr", "must read key=value"),
            ("train VIDEOS --set train.epochs=0", "train.epochs (0)"),
            ("train VIDEOS --set head.name=grru", "gru"),
            ("train VIDEOS --set streams.0.backbone=efficientnet_lite_0", "efficientnet_lite0"),
            ("train VIDEOS --classes 'lob'", "No sample is labelled 'lob'"),
            ("train VIDEOS --classes 3", "classes (3) must be from 1 to 2"),
            ("train VIDEOS --fold 1", "The manifest has no folds"),
            ("train VIDEOS -o used", "--out used is not empty"),
            ("train --resume gone", "gone does not exist"),
            ("train --resume VIDEOS", "has no manifest.csv"),
            ("train --resume used --seed 3", "it takes no option but --engine"),
            ("train empty.csv", "has no rows"),
            ("train latin.csv", "UTF-8"),
        ],
    )
    def test_mistakes(self, line: str, says: str, videos, frameflow) -> None:
        Path("used").mkdir()
        Path("used/x").write_text("x")
        Path("empty.csv").write_text("video,label\n")
        Path("latin.csv").write_bytes("video,label\na.mp4,Rückhand\n".encode("latin-1"))
        said = frameflow(line)
        assert said.code == 2
        assert says in said.error
        assert not Path("runs").exists(), "nothing is begun"

    def test_one_class(self, videos, frameflow, fast) -> None:
        shutil.rmtree(videos / "Rückhand")
        said = frameflow("train", videos, *fast)
        assert said.code == 2
        assert "needs samples of at least two classes" in said.error

    def test_what_to_do_next_can_be_pasted(self, manifest, frameflow, fast) -> None:
        said = frameflow("train", manifest, "-o", "my run", *fast)
        follow = re.search(r"Next: +frameflow (.*) VIDEO", said.out)
        assert follow
        assert frameflow(f"{follow[1]} VIDEOS/Rückhand/00.mp4").code == 0

    def test_a_class_with_one_clip(self, videos, film, frameflow, fast) -> None:
        film(videos / "rare" / "0.mp4", scene=70, seed=70)
        said = frameflow("train", videos, "-o", "run", *fast)
        assert said.code == 0
        assert "1 class stands in one group only" in said.err
        assert "Only one training clip is of 'rare'" in said.err
        (rare,) = [s for s in Manifest.read("run/manifest.csv") if s.label == "rare"]
        assert rare.split == "train"


class TestLeaks:
    """Promise 1: refused with the counts and the command that mends it, or said everywhere."""

    def cure(self, error: str) -> list[str]:
        found = re.search(r"Mend it with `(.*?)`", error)
        assert found, error
        return [part.removeprefix("frameflow ") for part in found[1].split(" && ")]

    def test_a_leaking_split_is_refused_and_its_cure_mends_it(
        self, manifest, frameflow, edit, fast
    ) -> None:
        edit(manifest, "split", alternating)
        said = frameflow("train", manifest, "-o", "run", *fast)
        assert said.code == 2
        assert "LEAKY SPLIT: 12 groups stand in more than one split, with 24 of 24" in said.error
        assert "1 train, 1 test" in said.error
        assert "--allow-leak" in said.error
        assert not Path("run").exists()
        for command in self.cure(said.error):
            assert frameflow(command).code == 0
        assert frameflow("train", manifest, "-o", "run", *fast).code == 0

    def test_folds_that_leak(self, manifest, frameflow, edit, fast) -> None:
        edit(manifest, "fold", lambda _, number: number % 2)
        said = frameflow("train", manifest, "--fold", 0, "-o", "run", *fast)
        assert said.code == 2
        (command,) = self.cure(said.error)
        assert "--folds 2" in command
        assert frameflow("crossval", manifest, *fast).error.count(command) == 1
        assert frameflow(command).code == 0
        assert frameflow("train", manifest, "--fold", 0, "-o", "run", *fast).code == 0

    def test_folders_of_splits_that_share_scenes(self, videos, frameflow, fast) -> None:
        for number, path in enumerate(sorted(videos.glob("*/*.mp4"))):
            split = "test" if number % 2 else "train"
            target = Path("SPLIT CLIPS") / split / path.parent.name
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
        said = frameflow("train", "SPLIT CLIPS", "-o", "run", *fast)
        assert said.code == 2
        assert "LEAKY SPLIT" in said.error
        for command in self.cure(said.error):
            assert frameflow(command).code == 0
        assert frameflow("train", "manifest.csv", "-o", "run", *fast).code == 0

    def test_allowed_it_is_said_in_every_report(self, manifest, frameflow, edit, fast) -> None:
        edit(manifest, "split", alternating)
        said = frameflow("train", manifest, "-o", "run", "--allow-leak", *fast)
        assert said.code == 0
        assert "LEAKY SPLIT" in said.err
        assert "LEAKY SPLIT" in said.out
        assert "LEAKY SPLIT" in Path("run/report.html").read_text(encoding="utf-8")
        assert "LEAKY SPLIT" in Path("run/README.md").read_text(encoding="utf-8")
        assert "LEAKY SPLIT" in frameflow("evaluate run --engine torch").out
        assert json.loads(Path("run/metrics.json").read_text())["leaky"] is True


class TestBadVideos:
    """Promise 3: set aside, listed with their reasons; past a stated share the job stops."""

    def test_set_aside_and_listed(self, manifest, frameflow, spoil, fast) -> None:
        reasons = spoil(Path("VIDEOS/Rückhand"))
        frameflow("data scan VIDEOS")
        frameflow("data groups manifest.csv")
        frameflow("data split manifest.csv")
        options = ["-o", "run", "--set", "max_bad=0.2", *fast]
        said = frameflow("train", manifest, *options)
        assert said.code == 0
        with Path("run/bad_videos.csv").open(newline="", encoding="utf-8") as file:
            rows = {Path(row["video"]).name: row for row in csv.DictReader(file)}
        assert rows.keys() == reasons.keys()
        report = Path("run/report.html").read_text(encoding="utf-8")
        for name, reason in reasons.items():
            assert reason in rows[name]["reason"]
            assert rows[name]["split"] in ("train", "val", "test")
            assert name in said.err, "named while it runs"
            assert name in report
            assert reason in report
        history = len(Path("run/history.csv").read_text().splitlines())
        assert history == 4, "the others are trained on: a header and three epochs"

    def test_too_many_stop_the_job_and_keep_what_was_done(
        self, manifest, frameflow, spoil, fast
    ) -> None:
        spoil(Path("VIDEOS/Rückhand"))
        frameflow("data scan VIDEOS")
        frameflow("data groups manifest.csv")
        frameflow("data split manifest.csv")
        said = frameflow("train", manifest, "-o", "run", *fast)
        assert said.code == 1
        assert "more than max_bad" in said.error
        cure = re.search(r"`frameflow (data check \S+)`", said.error)
        assert cure
        assert "4 of 28 samples cannot be used" in frameflow(cure[1]).out
        said = frameflow("train", manifest, "-o", "again", "--set", "max_bad=0.2", *fast)
        assert said.code == 0
        assert "are stored already" in said.err

    def test_nothing_readable(self, videos, frameflow, fast) -> None:
        for path in videos.glob("*/*.mp4"):
            path.write_bytes(b"")
        said = frameflow("train", videos, "-o", "run", *fast)
        assert said.code == 1
        assert "can be read" in said.error

    def test_a_clip_of_one_frame_is_a_clip(self, videos, film, frameflow, fast) -> None:
        film(videos / "Rückhand" / "one.mp4", scene=80, seed=80, frames=1)
        said = frameflow("train", videos, "-o", "run", *fast)
        assert said.code == 0
        assert not Path("run/bad_videos.csv").exists()


class TestCrossval:
    def test_every_fold_and_the_leak_study(self, manifest, frameflow, fast) -> None:
        frameflow("data split manifest.csv --folds 3")
        said = frameflow(
            "crossval", manifest, "--seeds", 2, "--leak-study", "-o", "crossval", *fast
        )
        assert said.code == 0
        assert len(re.findall(r"held-out groups +\d ", said.out)) == 3
        assert len(re.findall(r"random clips +\d ", said.out)) == 3
        assert re.search(r"Top-1 [\d.]+: mean of 3 folds and 2 seeds", said.out)
        assert re.search(r"On random folds of clips the same recipe claims [\d.]+", said.out)
        found = json.loads(Path("crossval/crossval.json").read_text())
        assert len(found["scores"]) == 6

    def test_json_and_nothing_else(self, videos, frameflow, fast) -> None:
        said = frameflow("crossval", videos, "--folds", 2, "--json", *fast)
        assert said.code == 0
        found = json.loads(said.out)
        assert found["samples"] == 24
        assert found["groups"] == 12
        assert found["random_clips"] is None

    def test_leaking_folds_can_be_allowed(self, manifest, frameflow, edit, fast) -> None:
        edit(manifest, "fold", lambda _, number: number % 2)
        said = frameflow("crossval", manifest, "--allow-leak", *fast)
        assert said.code == 0
        assert "LEAKY SPLIT" in said.out

    def test_what_it_wrote_is_no_run(self, manifest, frameflow, fast) -> None:
        assert frameflow("crossval", manifest, "--folds", 2, "-o", "cv", *fast).code == 0
        said = frameflow("predict cv VIDEOS")
        assert said.code == 2
        assert "`frameflow train` writes runs" in said.error

    @pytest.mark.parametrize(
        ("options", "says"),
        [("--folds 1", "folds (1)"), ("--folds 99", "99"), ("--recipe nope", "nope")],
    )
    def test_mistakes(self, options: str, says: str, manifest, frameflow) -> None:
        said = frameflow(f"crossval manifest.csv {options}")
        assert said.code == 2
        assert says in said.error


class TestFeatures:
    def test_training_finds_them(self, manifest, frameflow, film, fast) -> None:
        film(Path("VIDEOS/Rückhand/new.mp4"), scene=90, seed=90)  # surely not stored yet
        frameflow("data scan VIDEOS")
        said = frameflow("features", manifest, *fast)
        assert said.code == 0
        assert said.out == "Stored 25 samples, 4 x 2592 each.\n"
        assert "Computing features" in said.err
        again = frameflow("features", manifest, *fast)
        assert "Computing features" not in again.err
        assert "Computing features" not in frameflow("train", manifest, *fast).err

    def test_bad_videos_are_told(self, manifest, frameflow, spoil, fast) -> None:
        reasons = spoil(Path("VIDEOS/Rückhand"))
        frameflow("data scan VIDEOS")
        said = frameflow("features", manifest, "--set", "max_bad=0.2", *fast)
        assert said.code == 0
        for name in reasons:
            assert said.err.count(name) == 1
        assert "Set aside 4: `frameflow data check manifest.csv` says why." in said.out

    def test_another_backbone(self, manifest, frameflow) -> None:
        said = frameflow("features manifest.csv --backbone tf_efficientnet_lte0")
        assert said.code == 2
        assert "Did you mean 'tf_efficientnet_lite0'" in said.error


class TestRecipes:
    def test_listed_with_what_they_are(self, frameflow) -> None:
        said = frameflow("recipes")
        assert said.code == 0
        names = [line.split()[0] for line in said.out.splitlines()]
        assert names == sorted(names)
        assert {"default", "frozen-gru"} <= set(names)
        assert all(len(line.split()) > 3 for line in said.out.splitlines()), "each is described"

    def test_printed_it_can_be_changed_and_used(self, frameflow, tmp_path: Path) -> None:
        from frameflow.config import load_recipe

        said = frameflow("recipes frozen-gru")
        assert said.code == 0
        path = tmp_path / "mine.yaml"
        path.write_text(said.out.replace("hidden: 256", "hidden: 32"), encoding="utf-8")
        assert load_recipe(path).head.options["hidden"] == 32

    def test_unknown(self, frameflow) -> None:
        said = frameflow("recipes frozen-gruu")
        assert said.code == 2
        assert "Did you mean 'frozen-gru'" in said.error


@pytest.mark.slow
def test_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frameflow) -> None:
    monkeypatch.chdir(tmp_path)
    said = frameflow("demo --clips 4")
    assert said.code == 0
    assert re.search(r"in order +[\d.]+ +[\d.]+", said.out)
    follow = re.search(r"Next: +frameflow (predict .*)", said.out)
    assert follow
    assert frameflow(follow[1]).code == 0


def test_find_lr_shows_rates_and_makes_no_run(
    frameflow, small_clips: Path, fast: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(small_clips)
    said = frameflow("train", "manifest.csv", "--find-lr", *fast)
    assert said.code == 0, said.err
    assert re.search(r"falls fastest at [\d.e-]+: --set train\.lr=", said.out), said.out
    assert not (small_clips / "runs").exists()
