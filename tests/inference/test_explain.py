"""Explanations of clips: where the maps fall, what is written, what is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from frameflow.data.manifest import Manifest, Region, Sample
from frameflow.errors import FrameFlowError, UsageError, VideoError
from frameflow.inference._explained import explain_rows
from frameflow.inference._overlay import bars, blend, colours, place
from frameflow.inference.explain import Explainer, explain
from frameflow.inference.explanation import Explanation
from frameflow.inference.predictor import load_recognizer, predict
from frameflow.training.pipeline import train
from frameflow.video.decode import read_frames
from frameflow.video.probe import probe
from frameflow.video.synthetic import figure_boxes, render_clip
from frameflow.video.write import write_video

ACTIONS, PEOPLE, LENGTH, RATE = ("step-right", "step-left", "wave", "jumping-jacks"), 7, 16, 16.0


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of small people, one in each place and action, and a run with real weights."""
    folder = tmp_path_factory.mktemp("people")
    samples = []
    for action in ACTIONS:
        for person in range(PEOPLE):
            name = f"{action}-{person}.mp4"
            clip = render_clip(action, seed=0, group=person, frames=LENGTH)
            write_video(folder / name, clip, rate=RATE)
            split = "test" if person < 2 else "train"
            samples.append(Sample(name, action, group=str(person), split=split))
    Manifest(samples, folder).write(folder / "manifest.csv")
    changes = [
        "sampling.frames=8",
        "streams.0.size=192",
        "train.epochs=40",
        "evaluation.resamples=50",
    ]
    train(
        folder / "manifest.csv",
        recipe="default",
        overrides=changes,
        out=folder / "RUN",
        engine="torch",
    )
    return folder


def everything(path: Path) -> np.ndarray:
    """All frames of a video."""
    return read_frames(path, np.arange(probe(path, count=True).frames))


def box_of(sample: Sample, found: Explanation) -> np.ndarray:
    """(T, H, W) bool: around the person."""
    boxes = figure_boxes(sample.label, seed=0, group=int(sample.group), frames=LENGTH)
    left, top, wide, high = boxes[np.rint(found.seconds * RATE).astype(int)].T[:, :, None]
    y, x = ((np.arange(side) + 0.5) / side for side in found.maps.shape[1:])
    across, down = (x >= left) & (x < left + wide), (y >= top) & (y < top + high)
    return across[:, None, :] & down[:, :, None]


def test_the_map_falls_on_what_moves(people: Path) -> None:
    explainer = Explainer(load_recognizer(people / "RUN"))
    ratios = []
    for sample in Manifest.read(people / "manifest.csv").split("test"):
        found = explainer.explain(people / sample.video, label=sample.label, sample=sample)
        box = box_of(sample, found)
        weight = found.maps.sum(axis=(1, 2))
        chance = float((box.mean(axis=(1, 2)) * weight).sum() / weight.sum())
        ratios.append(float((found.maps * box).sum() / found.maps.sum()) / chance)

    assert len(ratios) == 2 * len(ACTIONS)
    assert np.mean(ratios) > 1.3
    assert np.mean(np.array(ratios) > 1) > 0.8


def test_another_head_gives_another_map(people: Path) -> None:
    """Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018."""
    trained, random = (load_recognizer(people / "RUN") for _ in range(2))
    with torch.no_grad():
        weight = random.head.classifier.weight  # type: ignore[union-attr]
        order = torch.randperm(weight.numel(), generator=torch.Generator().manual_seed(0))  # type: ignore[operator]
        weight.copy_(weight.flatten()[order].view_as(weight))  # type: ignore[operator]
    alike = []
    for person in range(2):
        video = people / f"wave-{person}.mp4"
        one, two = (explain(model, video, "wave").maps for model in (trained, random))
        alike.append(np.corrcoef(one.ravel(), two.ravel())[0, 1])
    assert max(alike) < 0.6


def test_what_is_said_is_what_predict_says(people: Path) -> None:
    video = people / "step-left-1.mp4"
    found = explain(people / "RUN", video)
    (said,) = predict(people / "RUN", video, engine="torch")
    assert not isinstance(said, VideoError)
    assert found.label == found.predicted == said.label
    assert found.probability == pytest.approx(said.probability, abs=2e-3)
    assert found.describe() == f"{video}: {said.label} {found.probability:.3f}"
    other = explain(people / "RUN", video, "wave")
    assert other.label == "wave"
    assert f"wave {other.probability:.3f} (the run says {said.label})" in other.describe()


def test_frames_and_maps_are_those_of_the_video(people: Path) -> None:
    video = people / "step-left-1.mp4"
    found = explain(people / "RUN", video)
    assert found.frames.shape == (8, 144, 192, 3)
    assert found.maps.shape == found.frames.shape[:3]
    assert 0 <= found.maps.min() < 0.05
    assert found.maps.max() == 1
    assert found.attention is None
    assert found.streams == (("rgb", 1.0),)
    whole = everything(video)
    for frame, second in zip(found.frames, found.seconds, strict=True):
        shown = whole[round(second * RATE)].astype(int)
        assert np.abs(frame.astype(int) - shown).mean() < 2


def test_a_region_is_explained_in_its_own_coordinates(people: Path) -> None:
    region = Region(0.5, 0.0, 0.5, 1.0)
    sample = Sample("wave-1.mp4", region=region)
    explainer = Explainer(load_recognizer(people / "RUN"))
    found = explainer.explain(people / "wave-1.mp4", sample=sample)
    assert found.frames.shape == (8, 144, 96, 3)
    whole = everything(people / "wave-1.mp4")[0]
    shown = found.frames[0].astype(int)
    right, left = (np.abs(shown - half).mean() for half in (whole[:, 96:], whole[:, :96]))
    assert right < left / 4, (right, left)
    assert (found.maps > 0).mean() > 0.2  # nothing of it is lost beside the region


# Files and pages --------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".gif", ".mp4"])
def test_it_is_written_as_what_the_ending_says(
    small_run: Path, tmp_path: Path, ending: str
) -> None:
    found = explain(small_run, small_run.parent / "new_clip.mp4")
    path = tmp_path / f"why{ending}"
    found.write(path)
    back = everything(path)
    assert back.shape == found.overlay().shape
    assert np.abs(back.astype(int) - found.overlay().astype(int)).mean() < 12
    with pytest.raises(UsageError, match=r"why\.png must end in one of \.gif"):
        found.write(tmp_path / "why.png")
    with pytest.raises(UsageError, match="no folder"):
        found.write(tmp_path / "none" / "why.gif")


def test_a_short_clip_has_no_padded_frames(
    small_run: Path, film: Callable[..., Path], tmp_path: Path
) -> None:
    short = film(tmp_path / "short.mp4", scene=1, seed=1, frames=2)
    found = explain(small_run, short)
    assert len(found.frames) == len(found.maps) == len(found.seconds)
    assert np.isfinite(found.maps).all()
    assert found.strip().frames == len(found.frames)


def test_rows_that_cannot_be_explained_are_left_out(
    small_run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recognizer = load_recognizer(small_run)
    manifest = Manifest.read(small_run.parent / "manifest.csv")
    missing = Sample("gone.mp4", "serve")
    caplog.set_level("INFO", logger="frameflow")
    found = explain_rows(recognizer, manifest, {3: (missing, "serve"), 5: (manifest[0], "serve")})
    assert list(found) == [5]
    assert "gone.mp4 is not explained" in caplog.text
    assert found[5].uri.startswith("data:image/jpeg")
    assert explain_rows(recognizer, manifest, {5: (manifest[0], "serve")}, patience=-1.0) == {}
    assert "Explained 0 of 1 clips" in caplog.text


def test_what_is_no_run_or_no_video_is_refused(small_run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no run"):
        explain(tmp_path / "none", small_run.parent / "new_clip.mp4")
    with pytest.raises(UsageError, match=r"no label 'serv'\. Did you mean 'serve'\?"):
        explain(small_run, small_run.parent / "new_clip.mp4", "serv")
    with pytest.raises(FrameFlowError):
        explain(small_run, tmp_path / "none.mp4")


# Drawing ----------------------------------------------------------------------------------------


def test_a_map_is_put_where_its_part_is_and_keeps_its_sum() -> None:
    maps = np.zeros((2, 2, 4), np.float32)
    maps[0, 1, 0], maps[1, 0, 3] = 3, 5
    shown = np.array([[0.5, 0.25, 0.5, 0.5], [0.0, 0.0, 1.0, 1.0]])
    found = place(maps, shown, (80, 40))
    assert found.shape == (2, 40, 80)
    np.testing.assert_allclose(found.sum(axis=(1, 2)), [3, 5], rtol=0.01)
    y, x = (axis.mean() for axis in np.nonzero(found[0] > 0.9 * found[0].max()))
    assert 20 <= y <= 30  # the lower half of the part, at its left end
    assert 40 <= x <= 50
    assert found[0, :, :40].max() == found[0, :10].max() == found[0, 30:].max() == 0
    y, x = (axis.mean() for axis in np.nonzero(found[1] > 0.9 * found[1].max()))
    assert y < 20
    assert x > 60


def test_an_even_map_stays_even() -> None:
    shown = np.array([[-0.1, 0.2, 1.2, 0.6]])  # with black beside the picture
    found = place(np.ones((1, 3, 5), np.float32), shown, (60, 50))
    inside = found[0, 10:40]
    assert np.ptp(inside) < 1e-6
    assert found.sum() == pytest.approx(15 / 1.2, rel=1e-3)
    assert found[0, :10].max() == 0


def test_strong_evidence_is_bright_and_none_leaves_the_picture() -> None:
    frames = np.full((1, 2, 3, 3), 90, np.uint8)
    maps = np.array([[[0, 0.5, 1], [0, 0, 0]]], np.float32)
    drawn = blend(frames, maps)
    assert (drawn[0, 1] == 90).all()
    assert drawn[0, 0, 2].sum() > drawn[0, 0, 1].sum() > 3 * 90
    light = colours(np.linspace(0, 1, 50)) @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(light) > 0).all()  # brightness alone tells the order


def test_bars_are_as_high_as_the_weights() -> None:
    drawn = bars(np.array([0.1, 0.6, 0.3]), (30, 200))
    assert drawn.shape == (3, 28, 30, 3)
    filled = (drawn[0] != drawn[0, 0, 0]).any(axis=-1).sum(axis=0)
    left, middle, right = filled[4], filled[14], filled[24]
    assert middle > right > left > 0
    own = [int((picture[:, :, 2] == 50).any(axis=0).argmax()) for picture in drawn]
    assert own == [0, 10, 20]  # each frame's own bar has the colour


def test_attention_stands_under_the_frames() -> None:
    frames, maps = np.zeros((4, 20, 30, 3), np.uint8), np.zeros((4, 20, 30), np.float32)
    found = Explanation(
        "a.mp4", "serve", 0.5, "serve", frames, np.arange(4) / 10, maps,
        np.array([0.1, 0.2, 0.3, 0.4]), (("rgb", 0.25), ("difference", 0.75)),
    )  # fmt: skip
    assert found.overlay().shape == (4, 32, 30, 3)
    assert found.strip(2).height == 32
    assert found.rate == pytest.approx(10)
    assert "rgb 25%, difference 75%" in found.describe()
    assert "looks most at 0.30 s (40% of its attention)" in found.describe()
