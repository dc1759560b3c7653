"""``crossval.html``: every fold, and what random folds of clips would have claimed."""

from frameflow.evaluation._words import plural
from frameflow.evaluation.paired import Effect
from frameflow.pages.dots import Column, dots
from frameflow.pages.page import markup, render_page
from frameflow.training.results import CrossvalResult, Study

HELD_OUT, RANDOM = "new groups", "random clips"


def crossval_page(result: CrossvalResult) -> str:
    """The page as text."""
    header, rows = result.table()
    table = [["" if c is None else f"{c:.3f}" if isinstance(c, float) else str(c) for c in row]
             for row in rows]  # fmt: skip
    return render_page(
        "crossval.html.j2",
        result=result,
        lines=result.summary().splitlines(),
        plot=markup(_plot(result)),
        verdict=verdict(result),
        table=(header, table),
    )


def verdict(result: CrossvalResult) -> list[str]:
    """What the leak study shows and what to conclude, in sentences; none without a study."""
    random, effect = result.random_clips, result.inflated()
    if random is None or effect is None:
        return []
    honest = f"{100 * result.held_out.mean:.1f} %"
    said = [
        f"On folds of random clips the recipe seems to have {100 * random.mean:.1f} % right. On "
        f"clips of groups it has not seen it has {honest}."
    ]
    return [*said, _conclusion(result, effect, honest)]


def _conclusion(result: CrossvalResult, effect: Effect, honest: str) -> str:
    if result.groups is None:
        return "No groups are known, so both kinds of folds mix scenes, and nothing can be said."
    if effect.bounds is None:
        return "All clips are of one group, so whether that is chance cannot be said."
    low, high = effect.bounds
    spread = f"{100 * low:.1f} to {100 * high:.1f}"
    share = f"{100 * result.recipe.evaluation.confidence:g} %"
    if low > 0:
        return (
            f"The difference is more than chance: {100 * effect.value:.1f} points over all clips "
            f"({share} interval {spread}). Clips of one group resemble one another, and a random "
            f"split rewards knowing them again. Quote {honest}, and split by group."
        )
    if high < 0:
        return (
            f"Random folds score lower, by {-100 * effect.value:.1f} points ({share} interval "
            f"{-100 * high:.1f} to {-100 * low:.1f}): here groups give nothing away. Look at how "
            f"the folds differ in size and classes."
        )
    return (
        f"The difference ({100 * effect.value:+.1f} points over all clips, {share} interval "
        f"{spread}) cannot be told from chance. That is no proof that nothing leaks: split "
        f"by group all the same, and quote {honest}."
    )


def _plot(result: CrossvalResult) -> str:
    studies = {HELD_OUT if result.groups else "clips": result.held_out}
    if result.random_clips is not None:
        studies[RANDOM] = result.random_clips
    columns = [_column(name, study, first=not place) for place, (name, study) in
               enumerate(studies.items())]  # fmt: skip
    bounds = result.interval().bounds["top1"]
    columns[0] = Column(columns[0].name, columns[0].points, columns[0].mean, "accent", bounds)
    return dots(columns, title="Top-1 of each fold" + _of_seeds(result.held_out))


def _of_seeds(study: Study) -> str:
    return f" and seed ({plural(len(study.seeds), 'seed')})" if len(study.seeds) > 1 else ""


def _column(name: str, study: Study, *, first: bool) -> Column:
    points = [(f"fold {s.fold}, seed {s.seed}: {s.top1:.3f} of {s.samples}", s.top1)
              for s in study.scores]  # fmt: skip
    return Column(name, points, study.mean, "accent" if first else "wrong", None)
