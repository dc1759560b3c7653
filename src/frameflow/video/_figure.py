"""A small articulated person: joints in three dimensions, moved by actions, drawn with PIL.

Lengths are in units of the person's height; x points to the viewer's right, y up, z towards the
viewer. An action maps a phase in [0, 1] to a `Pose`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Body:
    """Proportions and clothes of one person."""

    leg: float = 0.50
    torso: float = 0.32
    arm: float = 0.36
    shoulder: float = 0.125
    hip: float = 0.07
    head: float = 0.075
    limb: float = 0.055
    skin: Colour = (224, 178, 140)
    shirt: Colour = (60, 110, 200)
    trousers: Colour = (50, 50, 70)
    hair: Colour = (60, 40, 30)
    stool: Colour = (120, 90, 60)


@dataclass(frozen=True)
class Pose:
    """Angles in radians, one entry per side (left, right of the viewer for a frontal person)."""

    x: float = 0.0
    z: float = 0.0
    yaw: float = 0.0
    lift: float = 0.0
    bow: float = 0.0
    arm_out: tuple[float, float] = (0.15, 0.15)
    elbow: tuple[float, float] = (0.15, 0.15)
    thigh: tuple[float, float] = (0.0, 0.0)
    thigh_out: tuple[float, float] = (0.05, 0.05)
    knee: tuple[float, float] = (0.0, 0.0)
    stool: bool = False


def _smooth(phase: float) -> float:
    phase = min(max(phase, 0.0), 1.0)
    return phase * phase * (3 - 2 * phase)


def _there_and_back(phase: float) -> float:
    return math.sin(math.pi * phase) ** 2 if 0 <= phase <= 1 else 0.0


def _step_across(phase: float) -> Pose:
    swing = math.sin(2 * math.pi * 3 * phase)
    return Pose(
        x=-0.62 + 1.24 * phase,
        thigh_out=(0.10 + 0.22 * max(swing, 0), 0.10 + 0.22 * max(-swing, 0)),
        knee=(0.5 * max(swing, 0), 0.5 * max(-swing, 0)),
        thigh=(0.25 * max(swing, 0), 0.25 * max(-swing, 0)),
        arm_out=(0.25 + 0.15 * swing, 0.25 - 0.15 * swing),
    )


def _walk_towards(phase: float) -> Pose:
    swing = math.sin(2 * math.pi * 3 * phase)
    return Pose(
        z=-2.2 + 3.0 * phase,
        thigh=(0.45 * swing, -0.45 * swing),
        knee=(0.5 * max(-swing, 0), 0.5 * max(swing, 0)),
    )


def _sit_down(phase: float) -> Pose:
    down = _smooth(1.3 * phase - 0.15)
    return Pose(
        thigh=(1.45 * down, 1.45 * down),
        knee=(1.45 * down, 1.45 * down),
        bow=0.7 * _there_and_back(min(1.3 * phase, 1.0)),
        arm_out=(0.15 + 0.2 * down, 0.15 + 0.2 * down),
        stool=True,
    )


def _circle_arms(phase: float) -> Pose:
    angle = 2 * math.pi * phase
    # Both arms point the same way, so every direction they pass looks different.
    return Pose(arm_out=(angle, -angle), elbow=(0.0, 0.0))


def _reach_then_bow(phase: float) -> Pose:
    up = 2.7 * _there_and_back(2 * phase)
    return Pose(bow=1.25 * _there_and_back(2 * phase - 1), arm_out=(0.15 + up, 0.15 + up))


def _wave(phase: float) -> Pose:
    up = 2.3 + 0.1 * math.sin(2 * math.pi * phase)
    return Pose(arm_out=(0.15, up), elbow=(0.15, 0.5 + 0.6 * math.sin(2 * math.pi * 4 * phase)))


def _jumping_jack(phase: float) -> Pose:
    out = 0.5 - 0.5 * math.cos(2 * math.pi * 3 * phase)
    return Pose(
        arm_out=(0.15 + 2.5 * out, 0.15 + 2.5 * out),
        thigh_out=(0.03 + 0.42 * out, 0.03 + 0.42 * out),
        lift=0.10 * abs(math.sin(2 * math.pi * 3 * phase)),
    )


@dataclass(frozen=True)
class Action:
    """How a phase becomes a pose; a reversed action plays another one backwards."""

    pose: Callable[[float], Pose]
    reverse_of: str = ""
    cyclic: bool = field(default=False)


ACTIONS: Mapping[str, Action] = {
    "step-right": Action(_step_across),
    "step-left": Action(_step_across, reverse_of="step-right"),
    "sit-down": Action(_sit_down),
    "stand-up": Action(_sit_down, reverse_of="sit-down"),
    "circle-clockwise": Action(_circle_arms),
    "circle-counterclockwise": Action(_circle_arms, reverse_of="circle-clockwise"),
    "approach": Action(_walk_towards),
    "retreat": Action(_walk_towards, reverse_of="approach"),
    "reach-then-bow": Action(_reach_then_bow),
    "bow-then-reach": Action(_reach_then_bow, reverse_of="reach-then-bow"),
    "wave": Action(_wave, cyclic=True),
    "jumping-jacks": Action(_jumping_jack, cyclic=True),
}


def joints(body: Body, pose: Pose) -> dict[str, np.ndarray]:
    """Where the joints are, feet on the ground; (3,) arrays by name, sides suffixed 0 and 1."""
    place: dict[str, np.ndarray] = {}
    below = 0.0
    for side, sign in enumerate((-1.0, 1.0)):
        hip = np.array([sign * body.hip, 0.0, 0.0])
        thigh = _leg_direction(pose.thigh[side], sign * pose.thigh_out[side])
        shin = _leg_direction(pose.thigh[side] - pose.knee[side], sign * pose.thigh_out[side] * 0.6)
        knee = hip + body.leg / 2 * thigh
        foot = knee + body.leg / 2 * shin
        place |= {f"hip{side}": hip, f"knee{side}": knee, f"foot{side}": foot}
        below = min(below, float(foot[1]))
    lean = np.array([0.0, math.cos(pose.bow), math.sin(pose.bow)])
    neck = body.torso * lean
    place |= {"pelvis": np.zeros(3), "neck": neck, "head": neck + 1.5 * body.head * lean}
    for side, sign in enumerate((-1.0, 1.0)):
        shoulder = neck * 0.94 + np.array([sign * body.shoulder, 0.0, 0.0])
        upper = pose.arm_out[side]
        lower = upper + pose.elbow[side]
        elbow = shoulder + body.arm / 2 * _arm_direction(upper, sign, pose.bow)
        hand = elbow + body.arm / 2 * _arm_direction(lower, sign, pose.bow)
        place |= {f"shoulder{side}": shoulder, f"elbow{side}": elbow, f"hand{side}": hand}
    turn = np.array(
        [
            [math.cos(pose.yaw), 0.0, math.sin(pose.yaw)],
            [0.0, 1.0, 0.0],
            [-math.sin(pose.yaw), 0.0, math.cos(pose.yaw)],
        ]
    )
    offset = np.array([pose.x, pose.lift - below, pose.z])
    return {name: turn @ point + offset for name, point in place.items()}


def _leg_direction(forward: float, out: float) -> np.ndarray:
    return np.array(
        [math.sin(out), -math.cos(forward) * math.cos(out), math.sin(forward) * math.cos(out)]
    )


def _arm_direction(out: float, sign: float, bow: float) -> np.ndarray:
    """An arm hangs down at 0 and points up at pi, and leans with the torso where it is raised."""
    vertical = -math.cos(out)
    return np.array(
        [sign * math.sin(out), vertical * math.cos(bow), max(vertical, 0.0) * math.sin(bow)]
    )


@dataclass(frozen=True)
class Camera:
    """A pinhole at ``distance`` body heights; ``scale`` is px per body height at z = 0."""

    centre: tuple[float, float]
    scale: float
    distance: float = 5.0

    def project(self, point: np.ndarray) -> tuple[float, float, float]:
        """(x, y, px per body height) of a point."""
        size = self.scale * self.distance / (self.distance - float(point[2]))
        return (
            self.centre[0] + size * float(point[0]),
            self.centre[1] - size * (float(point[1]) - 0.5),
            size,
        )


def draw_person(image: Image.Image, body: Body, pose: Pose, camera: Camera) -> None:
    """Draw one person with a shadow, far limbs first."""
    pen = ImageDraw.Draw(image, "RGBA")
    place = joints(body, pose)
    ground = np.array([place["pelvis"][0], 0.0, place["pelvis"][2]])
    x, y, size = camera.project(ground)
    pen.ellipse((x - 0.2 * size, y - 0.035 * size, x + 0.2 * size, y + 0.035 * size), (0, 0, 0, 90))
    if pose.stool:
        _draw_stool(pen, body, replace(pose, bow=0.0), camera)
    parts: list[tuple[float, Callable[[], None]]] = []

    def limb(one: str, two: str, width: float, colour: Colour) -> None:
        depth = float(place[one][2] + place[two][2]) / 2
        parts.append((depth, lambda: _capsule(pen, camera, place[one], place[two], width, colour)))

    for side in "01":
        limb(f"hip{side}", f"knee{side}", body.limb * 1.35, body.trousers)
        limb(f"knee{side}", f"foot{side}", body.limb * 1.1, body.trousers)
        limb(f"shoulder{side}", f"elbow{side}", body.limb, body.shirt)
        limb(f"elbow{side}", f"hand{side}", body.limb * 0.85, body.skin)
    corners = [camera.project(place[n])[:2] for n in ("shoulder0", "shoulder1", "hip1", "hip0")]
    middle = float(place["pelvis"][2] + place["neck"][2]) / 2

    def torso() -> None:
        pen.polygon(corners, body.shirt)
        waist = 0.25 * place["neck"] + 0.75 * place["pelvis"]
        _capsule(pen, camera, place["neck"], waist, body.shoulder * 1.4, body.shirt)

    def head() -> None:
        x, y, size = camera.project(place["head"])
        r = body.head * size
        pen.ellipse((x - r, y - 1.2 * r, x + r, y + 1.2 * r), body.skin)
        pen.chord((x - 1.05 * r, y - 1.3 * r, x + 1.05 * r, y + 0.9 * r), 180, 360, body.hair)

    parts += [(middle - 0.01, torso), (float(place["head"][2]), head)]
    for _, paint in sorted(parts, key=lambda part: part[0]):
        paint()


def _capsule(
    pen: ImageDraw.ImageDraw,
    camera: Camera,
    one: np.ndarray,
    two: np.ndarray,
    width: float,
    colour: Colour,
) -> None:
    ax, ay, size = camera.project(one)
    bx, by, _ = camera.project(two)
    radius = max(width * size / 2, 1.0)
    pen.line((ax, ay, bx, by), colour, width=round(2 * radius))
    for x, y in ((ax, ay), (bx, by)):
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), colour)


def _draw_stool(pen: ImageDraw.ImageDraw, body: Body, pose: Pose, camera: Camera) -> None:
    seat = body.leg / 2 - 0.02
    back = np.array([-math.sin(pose.yaw), 0.0, -math.cos(pose.yaw)]) * 0.08
    centre = np.array([pose.x, seat, pose.z]) + back
    x, y, size = camera.project(centre)
    _, floor, _ = camera.project(centre * np.array([1.0, 0.0, 1.0]))
    half = 0.15 * size
    for leg in (-0.85, 0.85):
        pen.line((x + leg * half, y, x + leg * half, floor), body.stool, width=round(0.03 * size))
    pen.rectangle((x - half, y - 0.03 * size, x + half, y + 0.03 * size), body.stool)
