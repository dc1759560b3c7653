"""Synthetic actions: small articulated people filmed by a drifting, noisy camera.

Twelve actions. Five pairs of them are exact time reversals of one another (a clip of the second is
a clip of the first played backwards), so no posture and no average over time tells them apart. Each
group is one person in one place: proportions, clothes, background, light, noise and the way the
camera drifts are drawn per group, and every group does every action.
"""

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from frameflow.data.manifest import Manifest, Sample
from frameflow.progress import progress
from frameflow.video._figure import ACTIONS, Body, Camera, Colour, Pose, draw_person
from frameflow.video.write import write_video

# Drawing at twice the size and halving it smooths the edges.
_OVERSAMPLING = 2


def action_names() -> list[str]:
    """The labels, in the order of the pairs."""
    return list(ACTIONS)


def reversed_pairs() -> list[tuple[str, str]]:
    """The pairs of labels that are time reversals of one another."""
    return [(action.reverse_of, name) for name, action in ACTIONS.items() if action.reverse_of]


@dataclass(frozen=True)
class Scene:
    """One person in one place: what all clips of a group share."""

    body: Body
    background: Image.Image
    light: float
    noise: float
    drift: float
    scale: float


def render_clip(
    action: str, *, seed: int, group: int = 0, frames: int = 32, width: int = 192, height: int = 144
) -> np.ndarray:
    """Draw one clip.

    Args:
        action: one of `action_names`.
        seed: what differs between two clips of one group and action.
        group: which person in which place.
        frames: how many frames.
        width: of a frame, px.
        height: of a frame, px.

    Returns:
        (frames, height, width, 3) uint8. Two actions that reverse one another give, for the same
        seed and group, exactly the same frames in opposite order.
    """
    scene = _scene(group, width, height)
    poses, path, rng = _script(action, scene, seed=seed, group=group, frames=frames)
    drawn = [_draw(scene, pose, offset, width, height) for pose, offset in zip(poses, path)]
    clip = np.stack(drawn).astype(np.float32) * scene.light
    clip += rng.normal(0.0, scene.noise, clip.shape).astype(np.float32)
    clip = np.clip(clip, 0, 255).astype(np.uint8)
    return clip[::-1].copy() if ACTIONS[action].reverse_of else clip


def figure_boxes(
    action: str, *, seed: int, group: int = 0, frames: int = 32, width: int = 192, height: int = 144
) -> np.ndarray:
    """Where the person is in a clip of `render_clip`, with shadow and stool.

    Args:
        action: as `render_clip` takes it, and so all others.
        seed: the clip's.
        group: the clip's.
        frames: how many frames.
        width: of a frame, px.
        height: of a frame, px.

    Returns:
        (frames, 4) float64: left, top, width and height of the smallest box around it, as shares
        of the frame.
    """
    scene = _scene(group, width, height)
    poses, path, _ = _script(action, scene, seed=seed, group=group, frames=frames)
    boxes = []
    for pose, offset in zip(poses, path):
        room = _room(scene, offset, width, height)
        drawn = ImageChops.difference(room, _picture(scene, pose, offset, width, height))
        left, top, right, bottom = drawn.getbbox() or (0, 0, 0, 0)
        boxes.append((left, top, right - left, bottom - top))
    size = np.array([width, height, width, height]) * _OVERSAMPLING
    found = np.array(boxes, dtype=np.float64) / size
    return found[::-1].copy() if ACTIONS[action].reverse_of else found


def clip_seed(action: str, number: int, *, groups: int, seed: int = 0) -> tuple[int, int]:
    """(seed, group) with which `make_dataset` draws the clip of this number of an action.

    Args:
        action: one of `action_names`.
        number: from 0; the group repeats after ``groups`` clips.
        groups: of the data set.
        seed: of the data set.
    """
    # A reversed action draws its own clips: none is another one's mirror in time.
    own = number // groups + 1000 * bool(ACTIONS[action].reverse_of)
    return own, seed * 10_000 + number % groups


def make_dataset(
    folder: Path,
    *,
    clips: int = 40,
    groups: int = 20,
    frames: int = 32,
    width: int = 192,
    height: int = 144,
    rate: float = 16.0,
    seed: int = 0,
    processes: int | None = None,
) -> Path:
    """Write a data set of class folders with its manifest.

    Args:
        folder: where to write; clips already there under the same name are kept.
        clips: per action.
        groups: persons in places, each with the same number of clips of every action.
        frames: per clip.
        width: of a frame, px.
        height: of a frame, px.
        rate: frames per second.
        seed: another one gives other people.
        processes: how many draw at once; the machine's cores by default.

    Returns:
        The path of ``manifest.csv`` with the columns video, label and group.
    """
    for name, value in (("clips", clips), ("groups", groups), ("frames", frames)):
        if value < 1:
            raise ValueError(f"{name} ({value}) must be > 0")
    folder = Path(folder)
    samples, jobs = [], []
    for action in ACTIONS:
        (folder / action).mkdir(parents=True, exist_ok=True)
        for number in range(clips):
            group = number % groups
            name = f"{action}/p{group:02d}_{number // groups:02d}.mp4"
            samples.append(Sample(video=name, label=action, group=f"p{group:02d}"))
            if not (folder / name).exists():
                own, place = clip_seed(action, number, groups=groups, seed=seed)
                jobs.append((folder / name, action, own, place, frames, width, height, rate))
    workers = processes or os.cpu_count() or 1
    with (
        ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool,
        progress("Drawing clips", total=len(jobs)) as advance,
    ):
        for _ in pool.map(_write_clip, jobs, chunksize=4):
            advance()
    manifest = folder / "manifest.csv"
    Manifest(samples, folder).write(manifest)
    return manifest


def _write_clip(job: tuple[Path, str, int, int, int, int, int, float]) -> None:
    path, action, seed, group, frames, width, height, rate = job
    clip = render_clip(action, seed=seed, group=group, frames=frames, width=width, height=height)
    partial = path.with_name(f".{path.name}.partial.mp4")
    write_video(partial, clip, rate=rate)
    partial.replace(path)


def _phases(frames: int, rng: np.random.Generator, *, cyclic: bool) -> np.ndarray:
    """Phases of an action over a clip: a cycle starts anywhere, an act has pauses at its ends."""
    if cyclic:
        return rng.uniform() + np.linspace(0, rng.uniform(0.9, 1.3), frames, endpoint=False)
    before, after = rng.uniform(0, 0.15, 2)
    return np.clip((np.linspace(0, 1, frames) - before) / (1 - before - after), 0, 1)


def _drift(frames: int, size: float, rng: np.random.Generator) -> np.ndarray:
    """(frames, 2) px: a slow wandering that looks the same played backwards."""
    time = np.linspace(0, 1, frames)[:, None]
    pace = rng.uniform(0.3, 1.0, (1, 2))
    return size * np.sin(2 * np.pi * (pace * time + rng.uniform(0, 1, (1, 2))))


def _script(
    action: str, scene: Scene, *, seed: int, group: int, frames: int
) -> tuple[list[Pose], np.ndarray, np.random.Generator]:
    """The poses of the action or, of a reversed one, of its base; the camera's path; the rest."""
    if action not in ACTIONS:
        raise ValueError(f"action ({action!r}) must be one of {', '.join(ACTIONS)}")
    base = ACTIONS[action].reverse_of or action
    rng = np.random.default_rng([1, group, seed, list(ACTIONS).index(base)])
    phases = _phases(frames, rng, cyclic=ACTIONS[action].cyclic)
    path = _drift(frames, scene.drift, rng)
    yaw = rng.uniform(-0.35, 0.35)
    shift_x = rng.uniform(-0.12, 0.12)
    shift_z = rng.uniform(-0.25, 0.25)
    poses = []
    for phase in phases:
        pose = ACTIONS[base].pose(float(phase))
        poses.append(replace(pose, yaw=yaw, x=pose.x + shift_x, z=pose.z + shift_z))
    return poses, path, rng


def _draw(scene: Scene, pose: Pose, offset: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.asarray(_picture(scene, pose, offset, width, height).reduce(_OVERSAMPLING))


def _picture(scene: Scene, pose: Pose, offset: np.ndarray, width: int, height: int) -> Image.Image:
    image = _room(scene, offset, width, height)
    w, h = image.size
    centre = (w / 2 - offset[0], 0.52 * h - offset[1])
    draw_person(image, scene.body, pose, Camera(centre, scene.scale * h))
    return image


def _room(scene: Scene, offset: np.ndarray, width: int, height: int) -> Image.Image:
    """What the camera sees of the background, larger by the oversampling."""
    w, h = width * _OVERSAMPLING, height * _OVERSAMPLING
    margin_x = (scene.background.width - w) / 2
    margin_y = (scene.background.height - h) / 2
    left, top = round(margin_x + offset[0]), round(margin_y + offset[1])
    return scene.background.crop((left, top, left + w, top + h))


def _scene(group: int, width: int, height: int) -> Scene:
    rng = np.random.default_rng([0, group])
    body = Body(
        leg=rng.uniform(0.45, 0.54),
        torso=rng.uniform(0.28, 0.34),
        arm=rng.uniform(0.32, 0.40),
        shoulder=rng.uniform(0.11, 0.145),
        head=rng.uniform(0.065, 0.085),
        limb=rng.uniform(0.055, 0.08),
        skin=_shade((226, 180, 145), rng.uniform(0.45, 1.05)),
        shirt=_vivid(rng),
        trousers=_shade(_vivid(rng), 0.55),
        hair=_shade((110, 80, 50), rng.uniform(0.3, 1.6)),
        stool=_shade((140, 105, 70), rng.uniform(0.5, 1.3)),
    )
    return Scene(
        body=body,
        background=_background(rng, width, height),
        light=rng.uniform(0.75, 1.15),
        noise=rng.uniform(1.0, 5.0),
        drift=rng.uniform(0.0, 0.02) * width * _OVERSAMPLING,
        scale=rng.uniform(0.68, 0.78),
    )


def _shade(colour: Colour, factor: float) -> Colour:
    red, green, blue = (min(int(part * factor), 255) for part in colour)
    return red, green, blue


def _vivid(rng: np.random.Generator) -> Colour:
    parts = [220, int(rng.integers(20, 220)), 40]
    red, green, blue = (int(part) for part in rng.permutation(parts))
    return red, green, blue


def _muted(rng: np.random.Generator) -> Colour:
    grey = rng.uniform(60, 190)
    red, green, blue = (int(part) for part in np.clip(grey + rng.uniform(-55, 55, 3), 0, 255))
    return red, green, blue


def _background(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """A wall and a floor with some furniture, a little larger than a frame, for the drift."""
    w = int(width * _OVERSAMPLING * 1.12)
    h = int(height * _OVERSAMPLING * 1.12)
    wall = rng.uniform(120, 225) + rng.uniform(-22, 22, 3)
    floor = rng.uniform(80, 170) + rng.uniform(-25, 25, 3)
    horizon = int(h * rng.uniform(0.58, 0.72))
    canvas = np.empty((h, w, 3), np.float32)
    canvas[:horizon] = wall * np.linspace(0.85, 1.0, horizon)[:, None, None]
    canvas[horizon:] = floor * np.linspace(0.8, 1.1, h - horizon)[:, None, None]
    left, right = rng.permutation([0.85, 1.1])
    canvas *= np.linspace(left, right, w)[None, :, None]
    image = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(2, 6))):
        x, y = rng.uniform(0, w), rng.uniform(0, horizon * 0.7)
        a, b = rng.uniform(0.05, 0.16) * w, rng.uniform(0.06, 0.2) * h
        colour = _muted(rng)
        pen.rectangle((x - a, y - b, x + a, y + b), colour, outline=_shade(colour, 0.6), width=3)
    for edge in rng.uniform(0, w, int(rng.integers(0, 3))):
        tone = _shade((150, 130, 110), rng.uniform(0.5, 1.4))
        pen.rectangle((edge, horizon - 0.25 * h, edge + 0.1 * w, horizon + 0.04 * h), tone)
    return image
