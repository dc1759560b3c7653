"""What a training says of itself before and after."""

from typing import TYPE_CHECKING

from frameflow.config import Recipe
from frameflow.errors import listing

if TYPE_CHECKING:
    from frameflow.training.history import Fitted


def learner_words(recipe: Recipe) -> str:
    """What learns, in words."""
    head = f"the {recipe.head.name} head"
    parts = listing(list(dict.fromkeys(part for rule in recipe.train.learn for part in rule.parts)))
    match recipe.way:
        case "frozen":
            return head
        case "cut":
            return f"{head} and what follows the cut ({parts})"
        case "end-to-end":
            return f"{head} and the backbone ({parts}), from videos,"


def told(fitted: "Fitted", recipe: Recipe) -> str:
    """How the training went, in a line."""
    row = fitted.history[fitted.best_epoch - 1]
    if recipe.train.solver != "epochs":
        said = "" if row.val_top1 is None else f"; validation top-1 {row.val_top1:.3f}"
        return f"Found the weights by {recipe.train.solver} in {row.seconds:.1f} s{said}."
    score = "" if row.val_top1 is None else f", validation top-1 {row.val_top1:.3f}"
    seconds = sum(epoch.seconds for epoch in fitted.history)
    most = recipe.train.epochs * len(recipe.train.rounds)
    early = f" (stopped early, of {most})" if fitted.stopped_early else ""
    return (
        f"Trained {fitted.epochs} epochs{early} in {seconds:.1f} s; "
        f"kept epoch {fitted.best_epoch}{score}."
    )
