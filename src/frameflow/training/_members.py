"""The members of an ensemble: opened, compared, and joined into one recognizer."""

import json
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from frameflow.config import Head, Recipe, Stream
from frameflow.data.manifest import Manifest, Sample
from frameflow.errors import LeakError, UsageError, listing
from frameflow.inference._leaks import clip_of, leaks_from_training
from frameflow.inference.predictor import run_folder
from frameflow.training.run import Run

if TYPE_CHECKING:
    from frameflow.models.backbones import Backbone
    from frameflow.models.heads.ensemble import EnsembleHead
    from frameflow.models.recognizer import Recognizer


@dataclass(frozen=True)
class Member:
    """One run of an ensemble.

    Attributes:
        name: its folder's, made unique.
        run: its files.
        recognizer: as trained.
    """

    name: str
    run: Run
    recognizer: "Recognizer"

    @property
    def labels(self) -> list[str]:
        return self.recognizer.labels

    def order(self, labels: Sequence[str]) -> list[int]:
        """For each of ``labels`` its place among the member's own."""
        return [self.labels.index(label) for label in labels]

    def score(self) -> dict[str, Any] | None:
        """Its headline on its test split, where it was evaluated."""
        try:
            metrics = self.run.metrics
        except UsageError:
            return None
        key = next((key for key in ("top1", "map", "macro_f1") if key in metrics), None)
        if key is None:
            return None
        return {
            "metric": key,
            "value": metrics[key],
            "interval": metrics.get("intervals", {}).get(key),
            "split": metrics.get("split"),
        }


def open_members(runs: Sequence[str | os.PathLike[str]]) -> list[Member]:
    """The runs, finished, different, and of one task.

    Raises:
        UsageError: fewer than two, one twice, one that is not finished or is an ensemble itself,
            or other labels.
    """
    if len(runs) < 2:
        raise UsageError(f"An ensemble needs two runs or more, not {len(runs)}.")
    folders = [run_folder(run) for run in runs]
    if twice := [n for n, c in Counter(f.resolve() for f in folders).items() if c > 1]:
        raise UsageError(f"{twice[0]} is named twice: its weight says how much a run counts.")
    opened = [Run(folder) for folder in folders]
    members = []
    for name, run in zip(_names(opened), opened):
        run.manifest  # noqa: B018 - a missing file is told before weights are loaded
        members.append(Member(name, run, run.recognizer()))
    seen: dict[str, Member] = {}
    for member in members:
        _check(member, members[0])
        digest = json.loads((member.run.path / "model.json").read_text("utf-8"))["tensors_digest"]
        if digest in seen:
            raise UsageError(
                f"{seen[digest].run.path} and {member.run.path} are the same model: a mean of it "
                f"with itself changes nothing. Name different runs."
            )
        seen[digest] = member
    return members


def _check(member: Member, first: Member) -> None:
    if member.recognizer.recipe.head.name == "ensemble":
        inside = [each["name"] for each in cast("EnsembleHead", member.recognizer.head).members]
        raise UsageError(
            f"{member.run.path} is an ensemble itself: name its members ({listing(inside)}) "
            f"beside the others."
        )
    several = member.recognizer.recipe.multilabel
    if several != first.recognizer.recipe.multilabel:
        one, other = (first, member) if several else (member, first)
        raise UsageError(
            f"{other.run.path} gives a clip several labels and {one.run.path} one: their "
            f"probabilities do not mean the same, and have no mean."
        )
    own, theirs = set(member.labels), set(first.labels)
    if own != theirs:
        parts = [
            f"{run.path} alone knows {listing(sorted(only), most=5)}"
            for run, only in ((first.run, theirs - own), (member.run, own - theirs))
            if only
        ]
        raise UsageError(
            f"The labels differ: {'; '.join(parts)}. Train the runs on the same labels."
        )


def _names(runs: Sequence[Run]) -> list[str]:
    """Folder names that serve as folder names again, each once."""
    names: list[str] = []
    for run in runs:
        plain = name = re.sub(r"[^\w.+-]+", "_", run.path.resolve().name) or "run"
        number = 1
        while name in names:
            number += 1
            name = f"{plain}-{number}"
        names.append(name)
    return names


def refuse_leaks(members: Sequence[Member], *, allow: bool) -> bool:
    """Whether a member learnt from what another one is tested on.

    Raises:
        LeakError: one did, and ``allow`` is False.
    """
    found = False
    for member in members:
        for other in members:
            test = other.run.manifest.split("test")
            if member is other or not len(test):
                continue
            try:
                found |= leaks_from_training(
                    member.run.manifest, test, foreign=True, split="test", allow=allow
                )
            except LeakError as error:
                said = str(error).replace("The manifest holds", f"{other.run.path} is tested on")
                said = said.replace("that the run was", f"that {member.run.path} was")
                said = said.replace("groups of its training", f"groups that {member.run.path} saw")
                said = said.partition(" Leave these out")[0]
                raise LeakError(
                    f"{said} Train the runs on the same split (--fold), or go on with "
                    f"--allow-leak and a report that says so."
                ) from None
    return found


def joined_manifest(members: Sequence[Member], *, same_test: bool) -> Manifest:
    """All samples of the members: what taught any of them is training.

    The test split is that of the first; validation is what is so for all that know it.

    Raises:
        UsageError: ``same_test``, and the members are tested on different samples.
    """
    splits: list[dict[tuple[object, ...], str]] = []
    rows: dict[tuple[object, ...], tuple[Manifest, Sample]] = {}
    for member in members:
        manifest = member.run.manifest
        splits.append({clip_of(manifest, sample): sample.split for sample in manifest})
        for sample in manifest:
            rows.setdefault(clip_of(manifest, sample), (manifest, sample))
    tests = [{clip for clip, split in own.items() if split == "test"} for own in splits]
    for member, test in zip(members[1:], tests[1:]):
        if same_test and test != tests[0]:
            apart = len(test ^ tests[0])
            raise UsageError(
                f"{members[0].run.path} and {member.run.path} are tested on different samples "
                f"({apart} are in one of their test splits alone), so no split is honest for "
                f"both. Train them on the same split."
            )
    first = members[0].run.manifest
    samples = []
    for clip, (manifest, sample) in rows.items():
        said = {own[clip] for own in splits if clip in own}
        split = next((name for name in ("train", "val") if name in said), "")
        if clip in tests[0]:
            split = "test"
        video = sample.video if manifest is first else str(manifest.path(sample).resolve())
        samples.append(replace(sample, split=split, video=video))
    return first.replace(samples)


def join(members: Sequence[Member], weights: Sequence[float]) -> "Recognizer":
    """The members as one recognizer, which says their weighted mean."""
    from frameflow.models.heads import build_head
    from frameflow.models.recognizer import Recognizer

    labels = members[0].labels
    recipes = [member.recognizer.recipe for member in members]
    apart = len({_pace(member) for member in members}) > 1
    backbones: dict[str, Backbone] = {}
    streams: dict[str, tuple[Stream, Backbone]] = {}
    described = []
    for member in members:
        own = []
        for stream, backbone in zip(member.recognizer.recipe.streams, _backbones(member)):
            # Weights that are alike are kept, and computed, once.
            known = json.dumps(backbone.describe() | {"source": "", "cut": None}, sort_keys=True)
            backbone = backbones.setdefault(known, backbone)
            sampling = member.recognizer.recipe.sampling
            look = stream.model_copy(update={"sampling": sampling if apart else None})
            same = look.model_dump(mode="json", exclude={"weights", "size", "cut"})
            key = json.dumps([same, known], sort_keys=True)
            streams.setdefault(key, (look, backbone))
            own.append(list(streams).index(key))
        head = member.recognizer.head
        described.append(
            {
                "name": member.name,
                "head": head.name,
                "arguments": head.arguments,
                "streams": own,
                "labels": member.order(labels),
                "steps": head.frames,
            }
        )
    used = [backbone for _, backbone in streams.values()]
    built = cast(
        "EnsembleHead",
        build_head(
            "ensemble",
            dim=sum(backbone.dim for backbone in used),
            frames=max(member.recognizer.head.frames for member in members),
            classes=len(labels),
            dims=[backbone.dim for backbone in used],
            members=described,
            weights=list(weights),
            independent=recipes[0].multilabel,
            apart=apart,
        ),
    )
    for copied, member in zip(built.heads, members):
        copied.load_state_dict(member.recognizer.head.state_dict())
    recipe = _recipe(members, weights, [stream for stream, _ in streams.values()])
    return Recognizer(recipe, labels, used, built).eval()


def _backbones(member: Member) -> "list[Backbone]":
    return member.recognizer.backbones()


def _pace(member: Member) -> tuple[object, ...]:
    """What must be alike for the features of two members to lie side by side."""
    seen = {backbone.framewise for backbone in _backbones(member)}
    return (member.recognizer.recipe.sampling, member.recognizer.head.frames, frozenset(seen))


def _recipe(members: Sequence[Member], weights: Sequence[float], streams: list[Stream]) -> Recipe:
    """All choices: what the members share is from the first; one that learnt says how."""
    recipes = [member.recognizer.recipe for member in members]
    first = recipes[0]
    learnt = next((recipe for recipe in recipes if recipe.train.learn), first)
    shares = ", ".join(f"{m.name} {weight:.2f}" for m, weight in zip(members, weights))
    longest = max(recipes, key=lambda recipe: recipe.sampling.frames)
    names = [member.name for member in members]
    return first.model_copy(
        update={
            "name": "ensemble",
            "description": f"The mean of {len(members)} runs: {shares}.",
            "sampling": longest.sampling,
            "streams": tuple(streams),
            "views": first.views.model_copy(
                update={"test": max(recipe.views.test for recipe in recipes)}
            ),
            "head": Head.model_validate(
                {"name": "ensemble", "members": names, "weights": [round(w, 6) for w in weights]}
            ),
            "augment": type(first.augment)(),
            "train": learnt.train,
            "max_bad": max(recipe.max_bad for recipe in recipes),
        }
    )
