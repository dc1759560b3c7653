"""Every head says the same as a graph, under any mask, number of clips and length."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from frameflow.evaluation.calibration import Calibration
from frameflow.export.graphs import head_graph
from frameflow.features._openvino import openvino_core
from frameflow.models.heads import build_head, head_names
from frameflow.models.heads.base import Head

DIM, FRAMES, CLASSES = 12, 5, 4
SHAPES = [(1, 5), (3, 5)]
OTHER_LENGTHS = [(1, 1), (4, 9), (2, 3)]
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "attentive-probe": [{"depth": 2, "heads": 2}],
    "average": [{}, {"hidden": 4, "independent": True}],
    "bilstm-attention": [{"hidden": 8, "attention": 6}, {"hidden": 8, "attention": 0}],
    "conv1d": [{"hidden": 8, "layers": 2}, {"hidden": 8, "pool": "mean"}],
    "gru": [{"hidden": 8, "layers": 2, "bidirectional": True}],
    "late-fusion": [{"dims": [5, 7]}, {"dims": [5, 7], "of": "gru", "hidden": 6},
                    {"dims": [5, 7], "of": "average", "independent": True}],
    "lstm": [{"hidden": [6, 8], "bidirectional": True, "dense": 5}, {"hidden": 8}],
    "mean": [{"centre": True}],
    "mlp-concat": [{"hidden": [6]}],
    "rnn": [{"hidden": 8}],
    "self-attention": [{"width": 16}],
    "statistics": [{}, {"spread": False, "centre": True}, {"blocks": [1.0, 2.0, 3.0]}],
}  # fmt: skip
CASES = [(name, options) for name in head_names() for options in OPTIONS.get(name, [{}])]


def opinionated(name: str, options: dict[str, Any]) -> Head:
    torch.manual_seed(0)
    head = build_head(name, dim=DIM, frames=FRAMES, classes=CLASSES, **options)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return head.eval()


def calibration(head: Head) -> Calibration:
    several = bool(getattr(head, "independent", False))
    return Calibration("vector", (1.5, 0.7, 1, 1.2), (0.1, -0.2, 0, 0.3), multilabel=several)


def said(head: Head, features: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """What PyTorch and the calibration of predictions make of features."""
    fitted = calibration(head)
    with torch.no_grad():
        logits = head(torch.from_numpy(features), torch.from_numpy(mask))
    raw = logits.sigmoid() if fitted.multilabel else logits.softmax(dim=-1)
    return fitted.apply(raw.numpy())


@pytest.mark.parametrize(
    ("name", "options"), CASES, ids=lambda v: v if isinstance(v, str) else ",".join(v) or "-"
)
def test_the_graph_says_what_the_head_says(name: str, options: dict[str, Any]) -> None:
    import onnxruntime

    head = opinionated(name, options)
    graph = head_graph(head, calibration(head), steps=FRAMES).SerializeToString()
    session = onnxruntime.InferenceSession(graph)
    core = openvino_core()
    compiled = core.compile_model(
        core.read_model(graph), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    rng = np.random.default_rng(1)
    for batch, frames in SHAPES + (OTHER_LENGTHS if head.any_length else []):
        features = rng.normal(size=(batch, frames, DIM)).astype(np.float32)
        mask = rng.random((batch, frames)) > 0.4
        expected = said(head, features, mask)
        features[~mask] = 1e6  # what hidden frames hold changes nothing
        feed = {"features": features, "mask": mask}
        np.testing.assert_allclose(session.run(None, feed)[0], expected, atol=2e-5)
        np.testing.assert_allclose(compiled(feed)[0], expected, atol=2e-5)


def test_a_head_of_one_length_has_a_graph_of_one_length() -> None:
    head = opinionated("mlp-concat", {"hidden": [6]})
    graph = head_graph(head, calibration(head), steps=FRAMES)
    shape = graph.graph.input[0].type.tensor_type.shape
    assert shape.dim[0].dim_param == "batch"
    assert shape.dim[1].dim_value == FRAMES


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 4), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_raw_probabilities_add_up_and_hidden_frames_do_not_count(
    batch: int, frames: int, seed: int
) -> None:
    session = _session()
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(batch, frames, DIM)).astype(np.float32)
    mask = rng.random((batch, frames)) > 0.5
    probabilities, raw = session.run(None, {"features": features, "mask": mask})
    np.testing.assert_allclose(raw.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    features[~mask] = rng.normal(size=(int((~mask).sum()), DIM)) * 100
    again = session.run(None, {"features": features, "mask": mask})[0]
    np.testing.assert_allclose(again, probabilities, atol=1e-5)


_SESSIONS: list[Any] = []


def _session() -> Any:
    import onnxruntime

    if not _SESSIONS:
        head = opinionated("statistics", {})
        graph = head_graph(head, calibration(head), steps=FRAMES)
        _SESSIONS.append(onnxruntime.InferenceSession(graph.SerializeToString()))
    return _SESSIONS[0]
