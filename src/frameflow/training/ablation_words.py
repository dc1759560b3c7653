"""An ablation in sentences and tables."""

from frameflow.errors import listing
from frameflow.evaluation._words import plural
from frameflow.evaluation.compare_words import NAMES
from frameflow.evaluation.intervals import FEW_UNITS
from frameflow.evaluation.paired import Effect
from frameflow.training.ablation_results import AblationResult

Table = tuple[list[str], list[list[str]]]


def variant_table(found: AblationResult) -> Table:
    """Header and rows: one a variant, with its effect against the base."""
    others = next((list(row.figures) for row in found.rows if row.figures), [])
    header = ["variant", f"{NAMES[found.headline].lower()}", "sd seeds", "sd folds"]
    header += ["effect (points)", "interval", "p corrected", "more than chance"]
    header += [NAMES[name].lower() for name in others] + ["seconds"]
    rows = []
    for row in found.rows:
        cells = [row.name, _number(row.mean), _number(row.sd_seeds), _number(row.sd_folds)]
        if row.mean is None:
            cells[1] = "failed"
        cells += effect_cells(found, row.effect, row.corrected)
        cells += [_number(row.figures.get(name)) for name in others]
        rows.append([*cells, "-" if row.seconds is None else f"{row.seconds:.1f}"])
    return header, rows


def main_table(found: AblationResult) -> Table:
    """Header and rows: what each value does on average over the other factors."""
    header = ["main effect", "against", "effect (points)", "interval", "p corrected"]
    header += ["more than chance", "pairs"]
    rows = [
        [
            f"{main.key}={main.level}",
            main.reference,
            *effect_cells(found, main.effect, main.corrected),
            str(main.pairs),
        ]
        for main in found.main_effects
    ]
    return header, rows


def effect_cells(
    found: AblationResult, effect: Effect | None, corrected: float | None
) -> list[str]:
    """The effect in points, its interval, its p and the verdict."""
    if effect is None:
        return ["-"] * 4
    verdict = {True: "yes", False: "no", None: "cannot be said"}[found.sure(corrected)]
    if verdict == "yes":
        verdict += ", better" if effect.value > 0 else ", worse"
    return [
        points(effect.value),
        interval_words(effect),
        "-" if corrected is None else f"{corrected:.3f}",
        verdict,
    ]


def interval_words(effect: Effect) -> str:
    """``+1.1 to +9.4``."""
    if effect.bounds is None:
        return "-"
    return f"{points(effect.bounds[0])} to {points(effect.bounds[1])}"


def points(value: float) -> str:
    """``+5.2``; never ``-0.0``."""
    return f"{round(100 * value, 1) + 0.0:+.1f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def summary(found: AblationResult) -> list[str]:
    """What was scored, and what the changes do, a sentence or two each."""
    units = found._units
    groups = f" of {plural(units.count, 'group')}" if units.over == "groups" else ""
    back = (
        f" The {plural(found.held_back, 'sample')} of the test split were not looked at."
        if found.held_back
        else " There is no test split."
    )
    lines = [
        f"{plural(len(found._shared), 'sample')}{groups}, scored out of fold in {found.folds} "
        f"folds with {plural(len(found.seeds), 'seed')}.{back}"
    ]
    return [*lines, *_findings(found)]


def _findings(found: AblationResult) -> list[str]:
    base, *others = found.rows
    figure = NAMES[found.headline].lower()
    if base.mean is None:
        return ["The base itself failed, so there is no effect to speak of."]
    judged = [row for row in others if row.effect is not None]
    better = [r for r in judged if found.sure(r.corrected) and r.effect and r.effect.value > 0]
    worse = [r for r in judged if found.sure(r.corrected) and r.effect and r.effect.value < 0]
    lines = [f"The base {found.recipe.name} reaches a {figure} of {base.mean:.3f}."]
    for rows, word in ((better, "better"), (worse, "worse")):
        if rows:
            named = [
                f"{row.name} ({100 * row.effect.value:+.1f} points)" for row in rows if row.effect
            ]
            lines.append(f"More than chance {word}: {listing(named)}.")
    if judged and not better:
        lines.append("No change is better by more than chance.")
    return lines


def notes(found: AblationResult) -> list[str]:
    """What a reader must know to read the tables right."""
    compared = sum(row.effect is not None for row in found.rows)
    units = found._units
    share = f"{100 * found.recipe.evaluation.confidence:g} %"
    drawn = f"{units.over} and seeds" if len(found.seeds) > 1 else str(units.over)
    said = [
        f"An effect is that of the same folds, samples and seeds; its {share} interval is a "
        f"paired bootstrap over {drawn}."
    ]
    if compared > 1:
        said.append(
            f"The p values are corrected for {compared} comparisons (Holm's method); the intervals "
            f"are not. The highest of {compared + 1} means is too high by having been picked: test "
            f"the choice once, with `frameflow train`."
        )
    if len(found.seeds) == 1:
        said.append("With one seed nothing is known of how much another would change.")
    if units.count < 2:
        said.append("All samples are of one group, so no interval can be given.")
    elif units.count < FEW_UNITS:
        said.append(f"With only {units.count} {units.over} the intervals are rough.")
    if units.note:
        said.append(units.note)
    lost = len(found.manifest) - len(found._shared)
    if lost:
        said.append(f"{plural(lost, 'sample')} could not be read, and count for no variant.")
    if found.main_effects:
        said.append(
            "A main effect is the mean over the values of the other factors; where factors depend "
            "on one another it hides that, and the rows of the variants show it."
        )
    said += [f"Failed: {name}: {reason}" for name, reason in found.failures]
    return said
