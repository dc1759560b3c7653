"""``README.md`` of a run: the model card, from the files of the run only.

The form is that of the Hugging Face Hub (Mitchell et al., "Model cards for model reporting", 2019,
https://arxiv.org/abs/1810.03993): a block of metadata, then what the model is for, how it was made,
how good it is with intervals, and where it fails.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from frameflow._files import write_text
from frameflow.config import Recipe
from frameflow.data.manifest import Manifest
from frameflow.evaluation import _card_figures as told
from frameflow.evaluation import _card_made as made
from frameflow.evaluation import _ensemble_words as ensemble
from frameflow.evaluation._card_front import front
from frameflow.evaluation._markdown import bullets, plain
from frameflow.evaluation._words import labels, multilabel, plural, warnings


def write_card(
    path: Path, metrics: Mapping[str, Any], *, recipe: Recipe, manifest: Manifest
) -> None:
    """Write the model card.

    Args:
        path: of the file to write.
        metrics: what ``metrics.json`` holds.
        recipe: of the run.
        manifest: of the run, with all its splits.
    """
    write_text(path, render(metrics, recipe, manifest))


def render(metrics: Mapping[str, Any], recipe: Recipe, manifest: Manifest) -> str:
    """The card as Markdown; see `write_card`."""
    data = made.data_name(metrics)
    sections: list[tuple[str, Sequence[str]]] = [
        ("Goal", made.goal(metrics)),
        ("Members", ensemble.members(metrics)),
        ("Architecture", made.architecture(metrics, recipe)),
        ("Input", made.inputs(metrics, recipe, manifest)),
        ("Output", made.output(metrics)),
        ("Training data", made.training_data(metrics, manifest, data)),
        ("Training procedure", made.procedure(metrics, recipe)),
        ("Performance", told.performance(metrics)),
        ("Best and weakest classes", told.classes(metrics)),
        ("Conditions it fails in", told.conditions(metrics)),
        ("Calibration", told.calibration(metrics)),
        ("Knowing when not to answer", told.refusal(metrics)),
        ("Leak status", [made.leaks(metrics, manifest)]),
        ("Limitations", [bullets(made.limits(metrics))]),
        ("Trade-offs", made.trade_offs(metrics, recipe)),
        ("Environment", made.environment(metrics)),
        ("How to load it", [made.usage(metrics)]),
    ]
    parts = [
        front(metrics, data),
        f"# {plain(metrics['run'])}",
        *(f"> **{word}**: {sentence}" for word, sentence in warnings(metrics)),
        _first(metrics, recipe),
    ]
    for title, paragraphs in sections:
        if paragraphs:
            parts += [f"## {title}", *paragraphs]
    return "\n\n".join(parts) + "\n"


def _first(metrics: Mapping[str, Any], recipe: Recipe) -> str:
    kind = "multi-label " if multilabel(metrics) else ""
    count = plural(len(labels(metrics)), "class").replace("classs", "classes")
    version = metrics["versions"].get("frameflow-video", "")
    what = ensemble.what(metrics) if ensemble.is_ensemble(metrics) else made.what(recipe)
    return (
        f"A {kind}video classifier for {count}: {what}. Trained and scored with "
        f"FrameFlow {version}".rstrip()
        + "."
    )
