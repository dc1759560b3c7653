"""``ablation.html``: the effect of each change with its interval."""

from frameflow.evaluation.compare_words import NAMES
from frameflow.evaluation.paired import Effect
from frameflow.pages.forest import Bar, forest
from frameflow.pages.page import markup, render_page
from frameflow.training.ablation_plan import Variant
from frameflow.training.ablation_results import AblationResult
from frameflow.training.ablation_words import (
    interval_words,
    main_table,
    notes,
    points,
    summary,
    variant_table,
)

_ROOM = 36  # letters


def ablation_page(found: AblationResult) -> str:
    """The page as text."""
    figure = NAMES[found.headline]
    bars = [
        _bar(found, _short(variant), row.effect, row.corrected)
        for variant, row in zip(found.variants, found.rows)
        if row.effect is not None
    ]
    mains = [
        _bar(found, f"{main.key}={main.level}, against {main.reference}", main.effect,
             main.corrected)
        for main in found.main_effects
    ]  # fmt: skip
    return render_page(
        "ablate.html.j2",
        found=found,
        summary=summary(found),
        notes=notes(found),
        plot=markup(forest(bars, title=f"{figure} less the base's, points")) if bars else "",
        mains=markup(forest(mains, title=f"{figure}, points")) if mains else "",
        variants=variant_table(found),
        main_table=main_table(found),
        failures=(["variant", "reason"], [list(pair) for pair in found.failures]),
    )


def _short(variant: Variant) -> str:
    """A name that fits beside its numbers: where it is long, the values alone."""
    return variant.name if len(variant.name) <= _ROOM else ", ".join(variant.levels.values())


def _bar(found: AblationResult, name: str, effect: Effect, corrected: float | None) -> Bar:
    bounds = effect.bounds and (100 * effect.bounds[0], 100 * effect.bounds[1])
    said = points(effect.value)
    said += f" ({interval_words(effect)})" if bounds else ""
    return Bar(name, 100 * effect.value, bounds, bool(found.sure(corrected)), said)
