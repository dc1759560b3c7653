"""What a clip looks like is measured right, once."""

from pathlib import Path

import numpy as np
import pytest

from frameflow.data.manifest import Manifest, Sample
from frameflow.features import measures
from frameflow.video.write import write_video


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manifest:
    monkeypatch.setenv("FRAMEFLOW_HOME", str(tmp_path / "home"))
    still = np.full((30, 48, 64, 3), 200, np.uint8)
    moving = np.zeros((30, 48, 64, 3), np.uint8)
    for number in range(30):
        moving[number, :, (2 * number) % 60 : (2 * number) % 60 + 4] = 255
    for name, frames in (("still", still), ("moving", moving)):
        write_video(tmp_path / f"{name}.mp4", frames, rate=15)
    names = ("still.mp4", "moving.mp4", "gone.mp4")
    return Manifest([*map(Sample, names), Sample("still.mp4", start=0.5, end=1.5)], tmp_path)


def test_brightness_motion_and_length_are_those_of_the_clip(clips: Manifest) -> None:
    still, moving, gone, span = measures.measure_samples(clips)
    assert gone is None
    assert still
    assert moving
    assert span
    assert still.brightness == pytest.approx(200 / 255, abs=0.02)
    assert still.motion < 0.005 < 0.03 < moving.motion
    assert moving.brightness < 0.2
    assert moving.contrast > still.contrast
    assert (still.width, still.height, still.rate) == (64, 48, 15)
    assert still.seconds == pytest.approx(2.0)
    assert span.seconds == pytest.approx(1.0)


def test_a_clip_is_read_once(clips: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    first = measures.measure_samples(clips)
    monkeypatch.setattr(measures, "measure", lambda *_, **__: pytest.fail("read again"))
    known = clips.replace([clips[0], clips[1], clips[3]])
    assert measures.measure_samples(known) == [first[0], first[1], first[3]]
