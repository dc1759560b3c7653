import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import Tensor

from frameflow.config import load_recipe
from frameflow.errors import UsageError
from frameflow.models.heads import build_head, head_options
from frameflow.models.heads.late_fusion import LateFusionHead
from frameflow.models.recognizer import Recognizer, build_recognizer

DIMS, FRAMES, CLASSES = [4, 6], 5, 3


def make(**options: object) -> LateFusionHead:
    torch.manual_seed(0)
    head = build_head(
        "late-fusion", dim=sum(DIMS), dims=DIMS, frames=FRAMES, classes=CLASSES, **options
    )
    assert isinstance(head, LateFusionHead)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(torch.randn(parameter.shape))
    return head.eval()


def clips(count: int = 7, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(count, FRAMES, sum(DIMS), generator=generator)
    return features, torch.ones(count, FRAMES, dtype=torch.bool)


def test_each_stream_decides_on_its_own() -> None:
    head = make(of="gru", hidden=4, dropout=0.0)
    features, mask = clips()
    rows = head.train()(features, mask)
    assert rows.shape == (7, 2, CLASSES)
    other = features.clone()
    other[..., DIMS[0] :] = 0
    torch.testing.assert_close(head(other, mask)[:, 0], rows[:, 0])
    assert not torch.allclose(head(other, mask)[:, 1], rows[:, 1])


def test_in_evaluation_the_weighted_mean_of_probabilities_counts() -> None:
    head = make(of="mean", dropout=0.0)
    features, mask = clips()
    streams = head.per_stream(features, mask).softmax(dim=-1)
    torch.testing.assert_close(head(features, mask).softmax(dim=-1), streams.mean(dim=1))
    head.weights.copy_(torch.tensor([0.25, 0.75]))
    expected = 0.25 * streams[:, 0] + 0.75 * streams[:, 1]
    torch.testing.assert_close(head(features, mask).exp(), expected)
    head.weights.copy_(torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(head(features, mask).exp(), streams[:, 1])


@pytest.mark.parametrize("of", ["mean", "average"])
def test_labels_that_hold_together_have_probabilities_of_their_own(of: str) -> None:
    head = make(of=of, dropout=0.0, independent=True)
    inner = [getattr(each, "independent", True) for each in head.heads]
    assert all(inner), "what averages over time must know it too"
    features, mask = clips()
    expected = head.per_stream(features, mask).sigmoid().mean(dim=1)
    torch.testing.assert_close(head(features, mask).sigmoid(), expected)


@given(seed=st.integers(0, 999), streams=st.integers(2, 4), soft=st.booleans())
@settings(max_examples=20, deadline=None)
def test_the_weights_are_those_of_least_cross_entropy(seed: int, streams: int, soft: bool) -> None:
    """As a general optimiser finds them, over the softmax of free numbers."""
    torch.manual_seed(seed)
    head = build_head(
        "late-fusion",
        dim=streams,
        dims=[1] * streams,
        frames=1,
        classes=CLASSES,
        weights="validation",
    )
    assert isinstance(head, LateFusionHead)
    logits = 2 * torch.randn(streams, 40, CLASSES)
    targets = torch.randint(CLASSES, (40,))
    shares = torch.nn.functional.one_hot(targets, CLASSES).double()
    if soft:
        shares = 0.8 * shares + 0.2 / CLASSES
    probabilities = logits.double().softmax(dim=-1).numpy()

    def entropy(free: object) -> float:
        weights = torch.tensor(free).softmax(dim=0).numpy()
        mean = (weights[:, None, None] * probabilities).sum(axis=0)
        return float(-(shares * torch.from_numpy(mean).log()).sum(dim=1).mean())

    best = minimize(entropy, [0.0] * streams).fun
    found = head.fit_weights(logits, shares if soft else targets)
    assert found.min() >= 0
    assert found.sum().item() == pytest.approx(1)
    torch.testing.assert_close(head.weights, found)
    assert entropy(found.double().clamp(min=1e-12).log().tolist()) <= best + 1e-5


def test_a_stream_that_knows_nothing_weighs_nothing() -> None:
    head = make()
    targets = torch.arange(60) % CLASSES
    knows = 4.0 * torch.nn.functional.one_hot(targets, CLASSES)
    found = head.fit_weights(torch.stack([knows, knows.roll(1, dims=1)]), targets)
    assert found[0] > 0.99
    many = make(independent=True)
    labels = torch.randint(2, (60, CLASSES), generator=torch.Generator().manual_seed(0))
    right = 6.0 * labels - 3
    assert many.fit_weights(torch.stack([-right, right]), labels)[1] > 0.99


def test_each_stream_is_standardised_in_one_pass() -> None:
    features, mask = clips(30)
    features = features * 3 + 2
    head = make(of="gru", hidden=4)
    head.prepare((features[i : i + 7], mask[i : i + 7]) for i in range(0, 30, 7))
    for stream, part in zip(head.heads, features.split(DIMS, dim=2)):
        alone = build_head("gru", dim=part.shape[2], frames=FRAMES, classes=CLASSES, hidden=4)
        alone.prepare([(part, mask)])
        for key, value in alone.state_dict().items():
            if key.startswith("standardise."):
                torch.testing.assert_close(stream.state_dict()[key], value)
        assert not torch.equal(alone.state_dict()["standardise.scale"], torch.ones(part.shape[2]))


def test_its_options_are_those_of_its_heads_too() -> None:
    assert head_options("late-fusion")["of"] == "statistics"
    assert "dims" not in head_options("late-fusion")
    head = make(of="gru", hidden=4)
    again = build_head("late-fusion", **json.loads(json.dumps(head.arguments)))
    again.load_state_dict(head.state_dict())
    features, mask = clips()
    torch.testing.assert_close(again.eval()(features, mask), head(features, mask))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"of": "late-fusion"}, r"of \('late-fusion'\).*another head"),
        ({"of": "statistic"}, r"No head is named 'statistic'. Did you mean 'statistics'"),
        ({"hiden": 3, "of": "gru"}, r"no option 'hiden'.*'hidden'"),
        ({"weights": "best"}, r"weights \('best'\).*equal or validation"),
        ({"independent": 1}, r"independent \(1\).*true or false"),
    ],
)
def test_wrong_options(options: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make(**options)


def test_logits_of_other_streams_are_refused() -> None:
    with pytest.raises(UsageError, match=r"logits \(2, samples, 3\).*not \(1, 5, 3\)"):
        make().fit_weights(torch.zeros(1, 5, 3), torch.zeros(5, dtype=torch.long))


def test_a_recognizer_keeps_weights_found(tmp_path: object) -> None:
    stream = "backbone: resnet10t, weights: none, size: 32"
    changes = [
        f"streams=[{{{stream}}}, {{kind: difference, {stream}}}]",
        "head={name: late-fusion, of: mean, weights: validation}",
        "sampling.frames=3",
    ]
    made = build_recognizer(load_recipe("default", changes), ["a", "b"]).eval()
    assert isinstance(made.head, LateFusionHead)
    assert made.head.dims == [512, 512]
    made.head.fit_weights(torch.randn(2, 9, 2), torch.arange(9) % 2)
    made.save(str(tmp_path))
    loaded = Recognizer.load(str(tmp_path))
    assert isinstance(loaded.head, LateFusionHead)
    assert torch.equal(loaded.head.weights, made.head.weights)
    features, mask = torch.randn(2, 3, 1024), torch.ones(2, 3, dtype=torch.bool)
    probabilities = loaded.probabilities(features, mask)
    assert torch.equal(probabilities, made.probabilities(features, mask))
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(2))
