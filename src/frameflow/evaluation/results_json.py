"""``results.json``: every sample with its likeliest labels, and the run in one flat table of keys.

The flat keys are those of Deep Neural Networks for Video Classification (A. Conway, 2019,
https://github.com/alxcnwy/Deep-Neural-Networks-for-Video-Classification), so that what reads its
``results.json`` reads ours. A key that a recipe has nothing for is null. ``docs/run-folder.md``
says what each holds.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from frameflow._files import write_json
from frameflow.config import Recipe
from frameflow.evaluation._words import multilabel
from frameflow.evaluation.predictions import Predictions

KEYS = (
    "architecture",
    "batch_size",
    "convolution_kernel_size",
    "data_total_rows_train",
    "data_total_rows_valid",
    "data_total_rows_test",
    "dropout",
    "fit_best_round",
    "fit_dt_train_start",
    "fit_dt_train_end",
    "fit_dt_train_duration_seconds",
    "fit_dt_test_start",
    "fit_dt_test_end",
    "fit_dt_test_duration_seconds",
    "fit_num_epochs",
    "fit_stopped_epoch1",
    "fit_stopped_epoch2",
    "fit_stopped_epoch3",
    "fit_train_acc",
    "fit_train_loss",
    "fit_val_acc",
    "fit_val_loss",
    "fit_test_acc",
    "frame_size",
    "layer_1_size",
    "layer_2_size",
    "layer_3_size",
    "model_id",
    "model_param_count",
    "model_weights_path",
    "num_features",
    "path_model",
    "pooling",
    "pretrained_model_name",
    "sequence_length",
    "sequence_model",
    "sequence_model_layers",
    "verbose",
)
_SEQUENCE = {"lstm": "LSTM", "gru": "GRU", "rnn": "SimpleRNN", "conv1d": "Convolution1D"}
_OVER_TIME = (*_SEQUENCE, "bilstm-attention", "self-attention", "attentive-probe")
_ROUNDS = 3  # what a flat table has room for


def write_results(
    path: Path,
    predictions: Predictions,
    metrics: Mapping[str, Any],
    *,
    recipe: Recipe,
    run: str = ".",
) -> None:
    """Write the file.

    Args:
        path: of the file to write.
        predictions: of the samples that were scored.
        metrics: what ``metrics.json`` holds.
        recipe: of the run.
        run: the run's folder, from that of the file.
    """
    samples = predictions.results(topk=recipe.evaluation.topk)
    write_json(path, flat(metrics, recipe, run=run) | samples, indent=None)


def flat(metrics: Mapping[str, Any], recipe: Recipe, *, run: str = ".") -> dict[str, Any]:
    """The keys of `KEYS`, in their order; None where there is no such thing.

    Example:
        >>> flat(metrics, load_recipe("lrcn-frozen"))["sequence_model"]  # doctest: +SKIP
        'LSTM'
    """
    values: dict[str, Any] = dict.fromkeys(KEYS)
    values |= _recipe(recipe, metrics) | _training(metrics) | _test(metrics)
    values |= {"model_id": metrics["run"], "path_model": run}
    return values


def _recipe(recipe: Recipe, metrics: Mapping[str, Any]) -> dict[str, Any]:
    model = metrics.get("model") or {}
    options: Mapping[str, Any] = model.get("options") or recipe.head.options
    stream, name = recipe.streams[0], str(options.get("of") or recipe.head.name)
    units = (*_units(options), None, None, None)
    files = [
        s.weights for s in recipe.streams if Path(s.weights).suffix in (".safetensors", ".pth")
    ]
    return {
        "architecture": recipe.name,
        "batch_size": recipe.train.batch_size,
        "convolution_kernel_size": options.get("kernel"),
        "dropout": options.get("dropout"),
        "frame_size": (model.get("sizes") or [None])[0],
        "layer_1_size": units[0],
        "layer_2_size": units[1],
        "layer_3_size": units[2],
        "model_weights_path": files[0] if files else None,
        "num_features": model.get("features"),
        "pooling": stream.pool,
        "pretrained_model_name": None if stream.weights == "none" else stream.backbone,
        "sequence_length": recipe.sampling.frames,
        "sequence_model": _SEQUENCE.get(name, name) if name in _OVER_TIME else None,
        "sequence_model_layers": options.get("layers") if name in _OVER_TIME else None,
    }


def _units(options: Mapping[str, Any]) -> list[int]:
    """The units of each layer of the head, those of the sequence model before dense ones."""
    hidden = options.get("hidden", options.get("width", 0))
    layers = int(options.get("layers") or 1)
    units = list(hidden) if isinstance(hidden, Sequence) else [hidden] * layers
    return [int(number) for number in (*units, options.get("dense", 0)) if number]


def _training(metrics: Mapping[str, Any]) -> dict[str, Any]:
    record = metrics.get("training")
    if not record:
        return {}
    best, ends = record["best"], [*record["round_epochs"], *[None] * _ROUNDS]
    return {
        "data_total_rows_train": record["samples"]["train"],
        "data_total_rows_valid": record["samples"]["val"],
        "fit_best_round": record["best_round"],
        "fit_dt_train_start": record["start"],
        "fit_dt_train_end": record["end"],
        "fit_dt_train_duration_seconds": record["seconds"],
        "fit_num_epochs": record["epochs"],
        **{f"fit_stopped_epoch{place + 1}": ends[place] for place in range(_ROUNDS)},
        "fit_train_acc": best["train_top1"],
        "fit_train_loss": best["train_loss"],
        "fit_val_acc": best["val_top1"],
        "fit_val_loss": best["val_loss"],
        "model_param_count": record["parameters"],
    }


def _test(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Of what was scored, unless the training has seen it: then there was no test."""
    if metrics["seen_in_training"]:
        return {}
    timing = metrics.get("timing") or {}
    return {
        "data_total_rows_test": metrics["samples"],
        "fit_dt_test_start": timing.get("start"),
        "fit_dt_test_end": timing.get("end"),
        "fit_dt_test_duration_seconds": timing.get("seconds"),
        "fit_test_acc": metrics["exact_match"] if multilabel(metrics) else metrics["top1"],
    }
