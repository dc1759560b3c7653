"""What reports and cards say of an ensemble: its members, and how their weights were found."""

import shlex
from collections.abc import Mapping
from typing import Any

from frameflow.evaluation._markdown import plain, table
from frameflow.evaluation._words import plural

Metrics = Mapping[str, Any]

_SCORES = {"top1": "top-1", "map": "mean average precision", "macro_f1": "macro F1"}


def is_ensemble(metrics: Metrics) -> bool:
    """Whether the figures are of an ensemble."""
    return bool(metrics.get("ensemble"))


def shares(metrics: Metrics) -> str:
    """The members and their weights in a line."""
    return ", ".join(f"{m['name']} {m['weight']:.2f}" for m in metrics["ensemble"]["members"])


def what(metrics: Metrics) -> str:
    """The model in a line."""
    count = plural(len(metrics["ensemble"]["members"]), "run")
    return f"the weighted mean of the probabilities of {count} ({plain(shares(metrics))})"


def facts(metrics: Metrics) -> list[tuple[str, str]]:
    """Rows for the report's table of facts; none where it is no ensemble."""
    if not is_ensemble(metrics):
        return []
    return [("Members", f"{shares(metrics)}. {metrics['ensemble']['sentence']}")]


def members(metrics: Metrics) -> list[str]:
    """The card's section: a table of the members, and how their weights were chosen."""
    if not is_ensemble(metrics):
        return []
    made, rows = metrics["ensemble"], []
    for each in made["members"]:
        loss, score = each["held_out_loss"], each["score"]
        own = "-"
        if score is not None:
            bounds = score["interval"]
            within = f" ({bounds[0]:.3f} to {bounds[1]:.3f})" if bounds else ""
            own = f"{_SCORES[score['metric']]} {score['value']:.3f}{within}, {score['split']}"
        rows.append(
            (
                plain(each["name"]),
                f"{plain(each['recipe'])}, seed {each['seed']}",
                f"{each['weight']:.3f}",
                "-" if loss is None else f"{loss:.3f}",
                own,
            )
        )
    header = ("member", "recipe", "weight", "log loss held out", "its own score")
    held = f" Held out are {plain(made['found_on'])}." if made["found_on"] else ""
    return [
        "What the members say of a clip is averaged with these weights; the mean is calibrated. "
        "Each member's recipe is in `members/`, the weights of all are in `model.safetensors`.",
        table(header, rows),
        f"{plain(made['sentence'])}{held} The members' own scores decided nothing.",
    ]


def command(metrics: Metrics) -> str:
    """What puts the ensemble together again."""
    made = metrics["ensemble"]["members"]
    names = " ".join(shlex.quote(each["name"]) for each in made)
    numbers = ",".join(f"{each['weight']:.6g}" for each in made)
    allow = " --allow-leak" if metrics["leaky"] else ""
    return f"frameflow ensemble {names} --weights {numbers} -o again{allow}"
