"""Everything that is to be known of a data set before it is trained on, gathered once."""

import logging
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from frameflow.audit.health import HealthReport, check
from frameflow.audit.label_errors import LabelErrors, find_label_errors
from frameflow.audit.map2d import map_2d
from frameflow.audit.scenes import ScenePair, read_backgrounds, same_scene_pairs
from frameflow.audit.vectors import ClipVectors, clip_vectors
from frameflow.config import Recipe
from frameflow.data.manifest import SPLITS, Manifest, Sample
from frameflow.errors import FrameFlowError
from frameflow.features.engines import EngineKind
from frameflow.features.measures import measure_samples
from frameflow.video.measure import ClipMeasures
from frameflow.video.probe import VideoInfo

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Survey:
    """What was found; lists over samples are in manifest order.

    Attributes:
        manifest: what was looked at.
        health: troubles, leaks, copies.
        measures: of each sample, None where it cannot be read.
        parts: the split of each sample, or ``fold 0`` ... where there are folds and no splits.
        pairs: clips of one scene in different parts; None where they were not looked for.
        strangers: clips of one scene in different groups; None likewise.
        vectors: of the clips; None where features were not wanted.
        places: ``(N, 2)`` of the clips of ``vectors`` on the map.
        errors: likely label errors.
        recipe: whose features they are; empty without.
        multilabel: a label cell holds several.
    """

    manifest: Manifest
    health: HealthReport
    measures: Sequence[ClipMeasures | None]
    parts: Sequence[str]
    pairs: Sequence[ScenePair] | None
    strangers: Sequence[ScenePair] | None
    vectors: ClipVectors | None
    places: np.ndarray | None
    errors: LabelErrors
    recipe: str = ""
    multilabel: bool = False

    @property
    def part_kind(self) -> str:
        """What the parts are: ``split``, ``fold``, or the empty string where there are none."""
        return "split" if self.manifest.has_splits else "fold" if self.manifest.has_folds else ""

    @property
    def part_names(self) -> list[str]:
        """The parts that occur, in their order."""
        found = set(self.parts) - {""}
        if self.part_kind == "split":
            return [name for name in SPLITS if name in found]
        return sorted(found, key=lambda name: int(name.split()[-1]))

    def strata(self, row: int) -> tuple[str, ...]:
        """What a sample counts as: its labels, or the empty string."""
        return self.manifest[row].strata(multilabel=self.multilabel)

    def info(self, sample: Sample) -> VideoInfo | None:
        """What the video of a sample is, None where it cannot be read."""
        return self.health.videos.get(self.manifest.path(sample))

    @property
    def groups_across(self) -> list[str]:
        """The groups that stand in more than one part."""
        found: dict[str, set[str]] = defaultdict(set)
        for sample, part in zip(self.manifest, self.parts, strict=True):
            if sample.group and part:
                found[sample.group].add(part)
        return sorted(group for group, parts in found.items() if len(parts) > 1)

    @property
    def unlabelled(self) -> list[int]:
        """The samples without a label."""
        return [row for row, sample in enumerate(self.manifest) if not sample.label]

    def group_sizes(self) -> list[int]:
        """Clips of each group."""
        return list(Counter(sample.group for sample in self.manifest if sample.group).values())


def survey(
    manifest: Manifest,
    recipe: Recipe | None,
    *,
    engine: EngineKind = "auto",
    content: bool = True,
    multilabel: bool = False,
    seed: int = 0,
) -> Survey:
    """Open, measure and compare every clip; with a recipe also map them and doubt their labels.

    Args:
        manifest: the samples; videos may be missing or broken.
        recipe: whose features to use; None for no map and no label errors.
        engine: see `frameflow.features.engines.make_engine`.
        content: whether to look for clips that show one scene.
        multilabel: a label cell holds several, joined by ``|``.
        seed: of the map and of the folds.

    Raises:
        FrameFlowError: no clip can be read.
        ManifestError: a label cell that multi-label cannot read.
    """
    health = check(manifest, content=False, multilabel=multilabel)
    if not health.videos:
        raise FrameFlowError(
            f"None of the {len(manifest)} videos can be read ({health.troubles[0].video} "
            f"{health.troubles[0].reason}): `frameflow data check` lists them all."
        )
    measures = measure_samples(manifest)
    parts = [_part(manifest, sample) for sample in manifest]
    pairs, strangers = None, None
    if content:
        scenes = _scene_pairs(manifest, health)
        pairs = [
            p for p in scenes if parts[p.one] and parts[p.two] and parts[p.one] != parts[p.two]
        ]
        strangers = [p for p in scenes if _of_two_groups(manifest, p)]
    vectors, places = None, None
    errors = LabelErrors(reason="no features were computed")
    if recipe is not None:
        vectors = clip_vectors(manifest, recipe, engine=engine)
        log.info("Placing %d clips on the map.", len(vectors))
        places = map_2d(vectors.values, seed=seed)
        if multilabel:
            errors = LabelErrors(reason="a clip may have several labels")
        else:
            log.info("Looking for label errors.")
            errors = find_label_errors(manifest, vectors, seed=seed)
    return Survey(
        manifest, health, measures, parts, pairs, strangers, vectors, places, errors,
        recipe.name if recipe is not None else "", multilabel,
    )  # fmt: skip


def _part(manifest: Manifest, sample: Sample) -> str:
    if manifest.has_splits:
        return sample.split
    return "" if sample.fold is None else f"fold {sample.fold}"


def _scene_pairs(manifest: Manifest, health: HealthReport) -> list[ScenePair]:
    good = [i for i, sample in enumerate(manifest) if manifest.path(sample) in health.videos]
    backgrounds = read_backgrounds(manifest.replace(manifest[i] for i in good))
    return [
        ScenePair(good[pair.one], good[pair.two], pair.difference)
        for pair in same_scene_pairs(backgrounds)
    ]


def _of_two_groups(manifest: Manifest, pair: ScenePair) -> bool:
    one, two = manifest[pair.one].group, manifest[pair.two].group
    return bool(one and two and one != two)
