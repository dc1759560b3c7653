"""The average of several runs as a run of its own.

The members' streams become the streams of one recognizer, each different one once, and a head of
their heads averages what they say (`frameflow.models.heads.ensemble`). So an ensemble is saved,
loaded, scored and served as any run is, and needs its members' folders no more.
"""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from frameflow._files import write_text
from frameflow.config import dump_recipe
from frameflow.data.manifest import Manifest, Sample
from frameflow.errors import UsageError, near_names
from frameflow.evaluation.calibration import FEW, Calibration
from frameflow.evaluation.mixture import Weights, choose_weights, mix
from frameflow.evaluation.reliability import sample_losses
from frameflow.training._members import Member, join, joined_manifest, open_members, refuse_leaks
from frameflow.training.calibrate import HeldOut, NothingHeldOut, held_out, settle
from frameflow.training.run import Run, new_run_folder, refuse_used_folder
from frameflow.training.targets import targets_of

if TYPE_CHECKING:
    from frameflow.features.engines import EngineKind
    from frameflow.models.recognizer import Recognizer

log = logging.getLogger(__name__)

RULES = ("validation", "equal")
_ENOUGH = 200  # validation samples beyond which inner folds are not asked for


def ensemble(
    runs: Sequence[str | os.PathLike[str]],
    *,
    out: str | os.PathLike[str],
    weights: str | Sequence[float] = "validation",
    engine: "EngineKind" = "auto",
    allow_leak: bool = False,
) -> Run:
    """Put runs together: their probabilities are averaged.

    Weights and calibration rest on samples that taught no member: those of validation where the
    members share at least 200 of them, or where a backbone learnt. Else each frozen member's head
    is trained again on inner folds by group of the training and validation samples. Learnt weights
    are taken where they are better than equal ones on groups they were not learnt from, by more
    than a standard error (`frameflow.evaluation.mixture`).

    Args:
        runs: two or more folders of finished runs, of the same labels and test samples.
        out: a new folder for the ensemble.
        weights: ``validation``, ``equal``, or a number for each run, together 1.
        engine: what runs frozen backbones.
        allow_leak: go on although a member was trained on another one's test samples; every
            report then says so.

    Returns:
        The ensemble as a run, scored on the test split.

    Raises:
        UsageError: fewer than two runs, one twice or not finished, other labels or test samples,
            or weights that are none.
        LeakError: a member was trained on what another one is tested on.
        FrameFlowError: too many videos cannot be read.

    Example:
        >>> ensemble(["runs/a", "runs/b"], out="runs/both").metrics["top1"]  # doctest: +SKIP
        0.61
    """
    from frameflow.inference.evaluate import evaluate
    from frameflow.inference.timeline.plan import measure_clips

    refuse_used_folder(out)
    if isinstance(weights, str):
        weights = read_weights(weights)
    given = None if isinstance(weights, str) else check_weights(weights, len(runs))
    members = open_members(runs)
    leaky = refuse_leaks(members, allow=allow_leak)
    manifest = joined_manifest(members, same_test=not leaky)
    scored = "test" if len(manifest.split("test")) else "val"
    if not len(manifest.split(scored)):
        raise UsageError("The runs share neither a test nor a validation sample to score them on.")
    found = _asked(members, manifest, engine)
    chosen = _chosen(found, members, given, equal=weights == "equal")
    recognizer = join(members, chosen.weights)
    recognizer.extra = {
        "ensemble": _record(members, chosen, found, leaky),
        **measure_clips(manifest),
        **_settled(recognizer, found, chosen),
    }
    path = new_run_folder(out)
    write_text(path / "recipe.yaml", dump_recipe(recognizer.recipe))
    for member in members:
        folder = path / "members" / member.name
        folder.mkdir(parents=True)
        write_text(folder / "recipe.yaml", dump_recipe(member.recognizer.recipe))
    manifest.write(path / "manifest.csv")
    recognizer.save(path)
    log.info("%s", chosen.sentence)
    evaluate(path, split=scored, engine=engine)
    return Run(path)


def read_weights(text: str) -> str | list[float]:
    """``validation``, ``equal`` or numbers joined by commas.

    Raises:
        UsageError: it is none of these.

    Example:
        >>> read_weights("0.3,0.7")
        [0.3, 0.7]
    """
    if text.strip().lower() in RULES:
        return text.strip().lower()
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(
            f"--weights {text} must be validation, equal, or a number for each run: 0.3,0.7."
            f"{near_names(text, RULES)}"
        ) from None


def check_weights(weights: Sequence[float], count: int) -> list[float]:
    """One weight for each run.

    Raises:
        UsageError: another count, one below 0, or they do not add up to 1.
    """
    named = ",".join(f"{weight:g}" for weight in weights)
    if len(weights) != count:
        raise UsageError(f"--weights {named} are {len(weights)} weights for {count} runs.")
    if not all(0 <= weight < float("inf") for weight in weights):
        raise UsageError(f"--weights {named}: each must be 0 or more.")
    if abs(sum(weights) - 1) > 0.005:
        raise UsageError(f"--weights {named} add up to {sum(weights):g}: they must add up to 1.")
    return [weight / sum(weights) for weight in weights]


@dataclass(frozen=True)
class _Found:
    """What the members say of samples that did not teach them.

    Attributes:
        samples: N of them.
        members: ``(M, N, K)`` probabilities, as the models say them.
        origin: which samples they are, in words; ``reason``: why there are none.
    """

    samples: Sequence[Sample]
    members: np.ndarray
    origin: str
    reason: str = ""


def _asked(members: Sequence[Member], manifest: Manifest, engine: "EngineKind") -> _Found:
    shared = manifest.where(lambda s: s.split == "val" and bool(s.label))
    frozen = all(member.recognizer.recipe.way == "frozen" for member in members)
    if len(shared) >= (_ENOUGH if frozen else FEW):
        return _of_validation(members, shared, engine)
    try:
        if not frozen:
            raise NothingHeldOut(
                f"the runs share {len(shared)} validation samples (at least {FEW}), and a "
                f"backbone that learnt is not trained again for it"
            )
        return _of_folds(members, manifest, engine)
    except NothingHeldOut as nothing:
        return _Found([], np.zeros((len(members), 0, 0)), "", str(nothing).rstrip("."))


def _of_validation(members: Sequence[Member], shared: Manifest, engine: "EngineKind") -> _Found:
    from frameflow.inference.said import shares_of

    views = max(member.recognizer.recipe.views.test for member in members)
    said = [shares_of(each.recognizer, shared, engine=engine, views=views) for each in members]
    samples = _common([own for own, _ in said])
    shares = [
        _rows(own, samples, table[:, member.order(members[0].labels)])
        for (own, table), member in zip(said, members)
    ]
    groups = {sample.group for sample in samples} - {""}
    of = f" of {len(groups)} groups" if groups else ""
    return _Found(samples, np.stack(shares), f"{len(samples)} validation samples{of}")


def _of_folds(members: Sequence[Member], manifest: Manifest, engine: "EngineKind") -> _Found:
    """Each member's head learns anew without each fold of the training and validation samples."""
    from frameflow.training.learning import read_material

    part = manifest.where(lambda s: s.split in ("train", "val") and bool(s.label))
    found: list[HeldOut] = []
    for member in members:
        log.info("%s: what it says of samples that did not teach it.", member.name)
        material = read_material(member.recognizer, part, purpose="train", engine=engine)
        found.append(held_out(member.recognizer, part, material, None, None, engine=engine))
    samples = _common([each.samples for each in found])
    shares = [
        _rows(each.samples, samples, each.probabilities[:, member.order(members[0].labels)])
        for each, member in zip(found, members)
    ]
    return _Found(samples, np.stack(shares), found[0].origin)


def _common(lists: Sequence[Sequence[Sample]]) -> list[Sample]:
    """The samples, in the order of the first list, that are in all of them."""
    inside = [{id(sample) for sample in each} for each in lists]
    return [sample for sample in lists[0] if all(id(sample) in each for each in inside)]


def _rows(samples: Sequence[Sample], wanted: Sequence[Sample], table: np.ndarray) -> np.ndarray:
    places = {id(sample): row for row, sample in enumerate(samples)}
    return table[[places[id(sample)] for sample in wanted]]


def _chosen(
    found: _Found, members: Sequence[Member], given: Sequence[float] | None, *, equal: bool
) -> Weights:
    """The weights, and why they are these."""
    count, recipe = len(members), members[0].recognizer.recipe
    shares = tuple(given) if given is not None else (1 / count,) * count
    if not len(found.samples):
        why = f"Nothing could be held out to find weights on: {found.reason}."
        why = "The weights were given." if given is not None else f"Equal weights: {why}"
        rule = "given" if given is not None else "equal"
        return Weights(shares, rule, shares, {}, 0.0, 0.0, why, found.members)
    labels = members[0].labels
    truth = targets_of(found.samples, labels, multilabel=recipe.multilabel)
    groups = [sample.group for sample in found.samples]
    folds, seed = max(2, recipe.calibration.folds), recipe.train.seed
    best = choose_weights(truth, found.members, groups, folds=folds, seed=seed)
    if given is None and not equal:
        return replace(best, sentence=best.sentence + _alone(best, members))
    mean = mix(found.members, shares)
    loss = sample_losses(truth, mean).mean()
    asked = "The weights were given" if given is not None else "Equal weights were asked for"
    return replace(
        best,
        weights=shares,
        rule="given" if given is not None else "equal",
        sentence=f"{asked}: their log loss on held-out samples is {loss:.3f}.",
        held_out=mean,
    )


def _alone(chosen: Weights, members: Sequence[Member]) -> str:
    """Whether one member would do as well."""
    losses = chosen.losses["members"]
    least = int(np.argmin(losses))
    if losses[least] > chosen.losses["learnt" if chosen.rule == "validation" else "equal"]:
        return ""
    return f" {members[least].name} alone has {losses[least]:.3f}: there the average gains nothing."


def _settled(recognizer: "Recognizer", found: _Found, chosen: Weights) -> dict[str, Any]:
    """Calibration, sets and threshold."""
    labels, several = recognizer.labels, recognizer.recipe.multilabel
    if not len(found.samples):
        reason = f"Nothing could be held out: {found.reason}."
        log.info("The probabilities are not calibrated: %s", reason)
        none = Calibration.identity(len(labels), reason=reason, multilabel=several)
        return {"calibration": none.to_dict(), "refusal": None, "refusal_reason": reason}
    said = HeldOut(found.samples, chosen.held_out.astype(np.float32), found.origin)
    return settle(said, recognizer.recipe, labels)


def _record(
    members: Sequence[Member], chosen: Weights, found: _Found, leaky: bool
) -> dict[str, Any]:
    """What ``model.json`` and the reports say of how the ensemble was made."""
    losses = chosen.losses.get("members") or [None] * len(members)
    return {
        "members": [
            {
                "name": member.name,
                "recipe": member.recognizer.recipe.name,
                "seed": member.recognizer.recipe.train.seed,
                "weight": weight,
                "held_out_loss": loss,
                "score": member.score(),
            }
            for member, weight, loss in zip(members, chosen.weights, losses)
        ],
        **chosen.to_dict(),
        "found_on": found.origin,
        "samples": len(found.samples),
        "data": (members[0].recognizer.extra.get("training") or {}).get("data"),
        "leaky": leaky,
    }
