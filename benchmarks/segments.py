"""Segments of long videos whose boundaries are known: held-out clips of a run, joined.

    python benchmarks/segments.py RUN
    python benchmarks/segments.py RUN --orders 5 --repeat 4
    python benchmarks/segments.py RUN --manifest ../shared/data/tennis7/manifest.csv --fold 0

The clips of the run's test split (or of one fold of another manifest) are joined in several random
orders, each into one long video; the true segments are where a label begins and ends, so neighbours
of one label are one segment. With --repeat up to so many clips of one label follow each other, for
actions of unequal lengths. Clips with labels that the run does not know become background, in which
no segment is the right answer. With --stored no video is made: the stored features of the clips
stand one after the other, which is quick and nearly the same.
Printed are

    F1@10..50   segment F1 at 10, 25 and 50 % overlap (Lea et al., CVPR 2017)
    frames      share of the frames with the right label, or rightly none
    edit        the order of labels alone

for the default rule, for each window's likeliest label by itself (raw), and for what no rule can
have: the clips cut at the true boundaries, each predicted by itself.

    python benchmarks/segments.py --tune ../shared/data/tennis7/manifest.csv --without-fold 0
    python benchmarks/segments.py --tune ... --without-fold 0 --also RUN --also-split val

chooses the rule. It sees no test clip: runs are trained on inner folds of what is left without the
fold, with all labels and with two of them held out as background; the validation clips of further
runs are joined as well. It prints the best rules and the default one.
"""

import argparse
import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np

from _machine import processor
from frameflow import Manifest, train
from frameflow.data.manifest import Sample
from frameflow.data.spans import Span
from frameflow.evaluation.segment_scores import SegmentScores, segment_scores
from frameflow.features.extract import extract
from frameflow.inference.predictor import Predictor, load, probabilities_of
from frameflow.inference.timeline.compute import Timeline, timeline
from frameflow.inference.timeline.plan import WindowPlan
from frameflow.inference.timeline.segments import RAW, Segment, SegmentRule, find_segments
from frameflow.video.decode import iter_frames
from frameflow.video.probe import probe
from frameflow.video.transform import resize
from frameflow.video.write import write_video


@dataclass(frozen=True)
class Joined:
    """A long video made of clips, and what is known of it.

    ``clips`` are the spans of the single clips, ``truth`` those of labels that the run knows,
    neighbours of one label joined; ``said`` is what the run says of each clip by itself.
    """

    line: Timeline
    clips: list[Span]
    truth: list[Span]
    said: list[tuple[str, float]]


def order_of(samples: Sequence[Sample], seed: int, repeat: int) -> list[int]:
    """A random order in which up to ``repeat`` clips of one label follow each other."""
    rng = np.random.default_rng(seed)
    if repeat == 1:
        return rng.permutation(len(samples)).tolist()
    waiting: dict[str, list[int]] = {}
    for row in rng.permutation(len(samples)).tolist():
        waiting.setdefault(samples[row].label, []).append(row)
    runs = []
    for rows in waiting.values():
        while rows:
            runs.append(
                [rows.pop() for _ in range(min(len(rows), int(rng.integers(1, repeat + 1))))]
            )
    return [row for place in rng.permutation(len(runs)) for row in runs[place]]


def frames_of(
    path: Path, sample: Sample, rate: float, size: tuple[int, int]
) -> Iterator[np.ndarray]:
    """The frames of a clip at a rate and in a size, black around those of another shape."""
    info = probe(path)
    start = sample.start or 0.0
    end = info.duration if sample.end is None else min(sample.end, info.duration)
    scale = min(size[0] / info.width, size[1] / info.height)
    own = (max(1, round(info.width * scale)), max(1, round(info.height * scale)))
    left, top = (size[0] - own[0]) // 2, (size[1] - own[1]) // 2
    tick, count, shown = 0, max(1, round((end - start) * rate)), None
    for _, seconds, frame in iter_frames(path):
        while shown is not None and tick < count and start + (tick + 0.5) / rate <= seconds:
            yield shown
            tick += 1
        if (info.width, info.height) == size:
            shown = frame
        else:
            shown = np.zeros((size[1], size[0], 3), np.uint8)
            shown[top : top + own[1], left : left + own[0]] = resize(frame[None], own)[0]
    while shown is not None and tick < count:
        yield shown
        tick += 1


def join(manifest: Manifest, rows: Sequence[int], path: Path) -> list[Span]:
    """Write the clips one after the other; where each lies."""
    samples = list(manifest)
    infos = [probe(manifest.path(samples[row])) for row in rows]
    rate = float(np.median([info.rate for info in infos]))
    sizes = [(info.width, info.height) for info in infos]
    size = max(set(sizes), key=sizes.count)
    clips: list[Span] = []

    def all_frames() -> Iterator[np.ndarray]:
        count = 0
        for row in rows:
            begin = count
            for frame in frames_of(manifest.path(samples[row]), samples[row], rate, size):
                yield frame
                count += 1
            clips.append(Span("", begin / rate, count / rate, samples[row].label))

    write_video(path, all_frames(), rate=rate, quality=12)
    return clips


def merge(clips: Sequence[Span], labels: Sequence[str]) -> list[Span]:
    """The true segments: neighbours of one label are one, labels that are not known are none."""
    merged: list[Span] = []
    for one in clips:
        if one.label not in labels:
            continue
        if merged and merged[-1].label == one.label and merged[-1].end == one.start:
            merged[-1] = replace(merged[-1], end=one.end)
        else:
            merged.append(one)
    return merged


def make(
    predictor: Predictor,
    manifest: Manifest,
    folder: Path,
    *,
    orders: int,
    repeat: int,
    most: int | None = None,
) -> list[Joined]:
    """Joined videos in several orders, and their timelines."""
    samples = list(manifest)
    made = []
    for seed in range(orders):
        rows = order_of(samples, seed, repeat)[:most]
        found = predictor.predict([manifest.path(samples[row]) for row in rows])
        if bad := [str(one) for one in found if isinstance(one, Exception)]:
            raise SystemExit(f"clips that cannot be read: {bad[:3]}")
        said = [(one.label, one.probability) for one in found]  # type: ignore[union-attr]
        video = folder / "joined.mp4"
        clips = join(manifest, rows, video)
        line = timeline(predictor, video)
        video.unlink()
        made.append(Joined(line, clips, merge(clips, predictor.labels), said))
    return made


def score(made: Sequence[Joined], found: Sequence[Sequence[Span | Segment]]) -> SegmentScores:
    lengths = [one.clips[-1].end for one in made]
    rates = [one.line.rate for one in made]
    return segment_scores([one.truth for one in made], found, lengths, rates=rates)


def by_rule(made: Sequence[Joined], rule: SegmentRule) -> SegmentScores:
    return score(made, [find_segments(one.line, rule) for one in made])


def cut(made: Sequence[Joined]) -> SegmentScores:
    """What the run says of each clip by itself, between true boundaries."""
    said = [
        [replace(clip, label=label) for clip, (label, _) in zip(one.clips, one.said)]
        for one in made
    ]
    return score(made, [merge(clips, one.line.labels) for clips, one in zip(said, made)])


def figures(scores: SegmentScores) -> str:
    values = [*scores.f1.values(), scores.frame_accuracy, scores.edit]
    return "".join(f"{value:8.3f}" for value in values) + f"{scores.found:7d} of {scores.true}"


HEADER = f"{'':<26}{'F1@10':>8}{'F1@25':>8}{'F1@50':>8}{'frames':>8}{'edit':>8}  segments"


def report(made: Sequence[Joined], rule: SegmentRule) -> None:
    clips = [(clip, said) for one in made for clip, said in zip(one.clips, one.said)]
    known = [(c, s) for c, s in clips if c.label in made[0].line.labels]
    right = np.mean([clip.label == label for clip, (label, _) in known])
    seconds = sum(one.line.duration for one in made)
    plan = made[0].line.plan
    print(
        f"{len(made)} joined videos of {len(made[0].clips)} clips, {seconds / len(made):.0f} s "
        f"each; {1 - len(known) / len(clips):.0%} of the clips background; "
        f"windows of {plan.length:.2f} s every {plan.stride:.2f} s"
    )
    print(f"top-1 of the clips by themselves, where the run knows the label: {right:.3f}")
    print(HEADER)
    print(f"{'default rule':<26}{figures(by_rule(made, rule))}")
    print(f"{'raw: likeliest label':<26}{figures(by_rule(made, RAW))}")
    print(f"{'cut at true boundaries':<26}{figures(cut(made))}")


# Choosing the rule -----------------------------------------------------------------------------

SMOOTH = (0.0, 0.5, 1.0, 1.5, 2.0)  # windows
ENTER, LEAVE = (0.0, 0.2, 0.3, 0.4, 0.5), (0.6, 0.85)  # leave: shares of enter
SHORTEST, GAP = (0.0, 0.5, 0.75, 1.0), (0.0, 0.5)  # windows


def rules() -> Iterator[tuple[str, SegmentRule]]:
    """Rules, and what they are; their seconds are shares of a window."""
    for smooth, enter, leave, shortest, gap in product(SMOOTH, ENTER, LEAVE, SHORTEST, GAP):
        if enter == 0 and (leave != LEAVE[0] or gap):
            continue  # where there is always a label there is nothing to leave or to close
        name = f"smooth {smooth:g}, enter {enter:g}, leave {leave * enter:.3g}"
        yield (
            f"{name}, shortest {shortest:g}, gap {gap:g}",
            SegmentRule(smooth, enter, leave * enter, shortest, gap),
        )


def scaled(rule: SegmentRule, length: float) -> SegmentRule:
    """The rule with its shares of a window as seconds."""
    assert rule.smooth is not None
    assert rule.shortest is not None
    assert rule.gap is not None
    return replace(
        rule,
        smooth=rule.smooth * length,
        shortest=rule.shortest * length,
        gap=rule.gap * length,
    )


def log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def worth(scores: SegmentScores) -> float:
    """What is chosen by: the mean of the three F1 and of the frames."""
    return float(np.mean([*scores.f1.values(), scores.frame_accuracy]))


def stitched(
    predictor: Predictor,
    manifest: Manifest,
    *,
    orders: int,
    repeat: int,
    most: int | None = None,
) -> list[Joined]:
    """As `make`, from the stored features of the clips instead of a video.

    A timeline's grid has as many moments in a window as a clip has frames, at the same places: so
    the features of clips one after the other are those of the joined video, but for what encoding
    it again and rounding its length to frames change.
    """
    features = extract(manifest, predictor.recognizer.recipe, purpose="test")
    samples, frames = features.samples, features.frames
    made = []
    for seed in range(orders):
        rows = order_of(samples, seed, repeat)[:most]
        infos = [probe(manifest.path(samples[row])) for row in rows]
        ends = np.cumsum([info.duration for info in infos])
        begins = np.append(0, ends[:-1])
        clips = [
            Span("", float(begin), float(end), samples[row].label)
            for row, begin, end in zip(rows, begins, ends)
        ]
        shares = (np.arange(frames) / frames)[None]
        edges = np.append((begins[:, None] + shares * (ends - begins)[:, None]).ravel(), ends[-1])
        whole = features.batch(np.array(rows))
        alone = predictor.calibrate(probabilities_of(predictor.recognizer, *whole))
        said = [(predictor.labels[share.argmax()], float(share.max())) for share in alone]
        moments, mask = (part.reshape(-1, *part.shape[2:]) for part in whole)
        firsts = np.arange(0, len(moments) - frames + 1, max(1, frames // 4))
        windows = []
        for part in np.array_split(firsts, max(1, len(firsts) // 256)):
            places = part[:, None] + np.arange(frames)
            windows.append(probabilities_of(predictor.recognizer, moments[places], mask[places]))
        found = predictor.calibrate(np.concatenate(windows))
        length = float(np.median(ends - begins))
        line = Timeline(
            "", predictor.labels, edges[firsts], edges[firsts + frames], found,
            ~predictor.answers(found), float(ends[-1]), infos[0].rate, infos[0].width,
            infos[0].height, WindowPlan(length, length / 4, frames / length), multilabel=False,
        )  # fmt: skip
        made.append(Joined(line, clips, merge(clips, predictor.labels), said))
    return made


def inner_sets(options: argparse.Namespace, folder: Path) -> Iterator[tuple[str, list[Joined]]]:
    """Joined clips of inner folds: with all labels known, and with two of them background."""
    manifest = Manifest.read(options.tune).where(
        lambda s: s.fold not in (None, options.without_fold)
    )
    labels = list(manifest.labels)
    for turn, fold in enumerate(sorted({s.fold for s in manifest} - {None})):
        strange = {labels[(2 * turn) % len(labels)], labels[(2 * turn + 1) % len(labels)]}
        for name, kept in (("all", labels), ("some", [n for n in labels if n not in strange])):
            out = folder / f"inner-{fold}-{name}"
            if not (out / "model.json").exists():
                train(manifest, recipe=options.recipe, fold=fold, classes=kept, out=out)
            clips = manifest.where(lambda s, fold=fold: s.fold == fold)
            predictor = load(out, engine="torch")  # features are stored: no engine need be made
            for repeat in (1, 4):
                made = stitched(predictor, clips, orders=options.orders, repeat=repeat)
                log(f"{out.name}, runs of {repeat}")
                yield f"{name} labels, runs of {repeat}", made


def tune(options: argparse.Namespace, folder: Path) -> None:
    sets: dict[str, list[list[Joined]]] = {}
    for name, made in inner_sets(options, folder):
        sets.setdefault(name, []).append(made)
    for run in options.also:
        manifest = Manifest.read(run / "manifest.csv").split(options.also_split)
        predictor = load(run, engine="torch")
        for repeat in (1, 4):
            made = stitched(predictor, manifest, orders=options.orders, repeat=repeat)
            sets.setdefault(f"{run.name}, runs of {repeat}", []).append(made)
    log(f"{sum(map(len, sets.values()))} timelines")
    found: list[tuple[float, str, list[float]]] = []
    for name, rule in rules():
        per_set = [
            float(np.mean([worth(by_rule(m, scaled(rule, m[0].line.plan.length))) for m in group]))
            for group in sets.values()
        ]
        found.append((float(np.mean(per_set)), name, per_set))
    found.sort(reverse=True)
    default = [float(np.mean([worth(by_rule(m, SegmentRule())) for m in g])) for g in sets.values()]
    never = SegmentRule(refuse=False)
    bold = [float(np.mean([worth(by_rule(m, never)) for m in g])) for g in sets.values()]
    raw = [float(np.mean([worth(by_rule(m, RAW)) for m in g])) for g in sets.values()]
    print("sets, in the order of the columns: " + "; ".join(sets))
    print("the mean of F1@10, F1@25, F1@50 and frames; seconds are shares of the window")
    for mean, name, per_set in [
        *found[: options.show],
        (float(np.mean(default)), "the default rule", default),
        (float(np.mean(bold)), "the default rule, never abstaining", bold),
        (float(np.mean(raw)), "raw", raw),
    ]:
        print(f"{mean:7.4f}  {' '.join(f'{value:.3f}' for value in per_set)}  {name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("--split", default="test", help="of the run's manifest")
    parser.add_argument("--manifest", type=Path, help="clips of this one instead")
    parser.add_argument("--fold", type=int, help="of --manifest")
    parser.add_argument("--orders", type=int, default=3)
    parser.add_argument(
        "--repeat", type=int, default=1, help="clips of one label in a row, at most"
    )
    parser.add_argument(
        "--clips", type=int, help="of a joined video, at most; of --tune: of --also"
    )
    parser.add_argument("--stored", action="store_true", help="from features, without a video")
    parser.add_argument("--tune", type=Path, help="a manifest with folds")
    parser.add_argument("--without-fold", type=int, default=0)
    parser.add_argument("--recipe", default="default")
    parser.add_argument("--also", type=Path, nargs="*", default=[], help="runs")
    parser.add_argument("--also-split", default="val")
    parser.add_argument("--show", type=int, default=12)
    parser.add_argument("--folder", type=Path, help="keep the runs of --tune here")
    options = parser.parse_args()
    logging.getLogger("frameflow").setLevel(logging.ERROR)
    folder = options.folder or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    print(f"{processor()}, {os.cpu_count()} cores")
    if options.tune:
        tune(options, folder)
        return
    if options.run is None:
        parser.error("name a run, or --tune MANIFEST")
    predictor = load(options.run, engine="torch" if options.stored else "auto")
    if options.manifest:
        manifest = Manifest.read(options.manifest)
        manifest = manifest.where(lambda s: options.fold is None or s.fold == options.fold)
    else:
        manifest = Manifest.read(options.run / "manifest.csv").split(options.split)
    if options.stored:
        made = stitched(
            predictor, manifest, orders=options.orders, repeat=options.repeat, most=options.clips
        )
        report(made, SegmentRule())
        return
    made = make(
        predictor,
        manifest,
        folder,
        orders=options.orders,
        repeat=options.repeat,
        most=options.clips,
    )
    report(made, SegmentRule())


if __name__ == "__main__":
    main()
