import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from frameflow.errors import UsageError
from frameflow.models.heads import build_head, head_names, head_options
from frameflow.models.heads.base import Head, Standardise, visible_first
from frameflow.models.heads.recurrent import Recurrent
from frameflow.models.heads.statistics import StatisticsHead, segment_weights

DIM, FRAMES, CLASSES = 6, 7, 3
SMALL: dict[str, dict[str, Any]] = {
    "mlp-concat": {"hidden": [8, 4]},
    "self-attention": {"width": 16, "heads": 2},
    "bilstm-attention": {"hidden": 5, "attention": 4, "layers": 2},
    "gru": {"hidden": 5, "layers": 3},
    "lstm": {"hidden": [5, 4], "bidirectional": True, "dense": 8},
    "rnn": {"hidden": 5, "bidirectional": True},
    "conv1d": {"hidden": 5, "layers": 3},
    "average": {"hidden": 4},
    "late-fusion": {"of": "gru", "hidden": 5},
}
GARBAGE = (math.nan, math.inf, -math.inf, 3e38, -1e30)


def make(name: str, *, frames: int = FRAMES, fitted: bool = True, **options: Any) -> Head:
    """A small head in evaluation mode whose every parameter is random."""
    generator = torch.Generator().manual_seed(0)
    options = SMALL.get(name, {}) | options
    head = build_head(name, dim=DIM, frames=frames, classes=CLASSES, **options)
    if fitted:
        given = torch.randn(20, FRAMES, DIM, generator=generator) * 3 + 1
        head.prepare([(given, torch.ones(20, FRAMES, dtype=torch.bool))])
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
    return head.eval()


def trained(head: Head, features: Tensor, mask: Tensor) -> Tensor:
    """``(B, K)`` logits in training mode, where late fusion gives a row for each stream."""
    logits = head(features, mask)
    return logits[:, 0] if head.name == "late-fusion" else logits


masks = st.lists(
    st.lists(st.booleans(), min_size=FRAMES, max_size=FRAMES).filter(any), min_size=1, max_size=4
)


@pytest.mark.parametrize("name", head_names())
@settings(max_examples=25, deadline=None)
@given(rows=masks, seed=st.integers(0, 2**16), garbage=st.sampled_from(GARBAGE))
def test_a_hidden_frame_changes_nothing(
    name: str, rows: list[list[bool]], seed: int, garbage: float
) -> None:
    """Whatever hidden frames hold, at the front, in the middle or at the end."""
    head = make(name, centre=seed % 2 == 1)
    mask = torch.tensor(rows)
    features = torch.randn(len(rows), FRAMES, DIM, generator=torch.Generator().manual_seed(seed))
    other = torch.where(mask.unsqueeze(-1), features, torch.tensor(garbage)).requires_grad_()
    expected = head(features, mask)
    got = head(other, mask)
    assert torch.equal(expected, got)
    assert expected.isfinite().all()
    gradient = torch.autograd.grad(got.sum(), other)[0]
    assert gradient.isfinite().all()
    assert (gradient[~mask] == 0).all()


@pytest.mark.parametrize("name", head_names())
def test_a_visible_frame_changes_the_logits(name: str) -> None:
    torch.manual_seed(0)
    head = make(name, dropout=0.0)
    mask = torch.ones(1, FRAMES, dtype=torch.bool)
    features = torch.randn(1, FRAMES, DIM)
    for frame in range(FRAMES):
        other = features.clone()
        other[0, frame] += 30.0
        assert not torch.allclose(head(features, mask), head(other, mask), atol=1e-4)


@pytest.mark.parametrize("name", [n for n in head_names() if n != "mlp-concat"])
@given(visible=st.integers(1, FRAMES), seed=st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_padding_at_the_end_is_the_same_as_a_shorter_clip(
    name: str, visible: int, seed: int
) -> None:
    head = make(name, centre=seed % 2 == 1)
    features = torch.randn(2, FRAMES, DIM, generator=torch.Generator().manual_seed(seed))
    mask = torch.arange(FRAMES).expand(2, FRAMES) < visible
    short = features[:, :visible]
    expected = head(short, mask[:, :visible])
    torch.testing.assert_close(head(features, mask), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["gru", "lstm", "rnn", "bilstm-attention", "statistics"])
def test_hidden_frames_are_skipped(name: str) -> None:
    """As if they had been cut out, wherever they are."""
    head = make(name)
    features = torch.randn(1, FRAMES, DIM)
    mask = torch.tensor([[False, True, True, False, True, False, True]])
    cut = features[mask].unsqueeze(0)
    expected = head(cut, torch.ones(1, 4, dtype=torch.bool))
    torch.testing.assert_close(head(features, mask), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", head_names())
def test_rows_of_a_batch_do_not_touch_one_another(name: str) -> None:
    head = make(name)
    features = torch.randn(5, FRAMES, DIM)
    mask = torch.rand(5, FRAMES) > 0.4
    mask[:, 2] = True
    together = head(features, mask)
    alone = torch.cat([head(features[i : i + 1], mask[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", head_names())
@pytest.mark.parametrize("frames", [1, 2, 16])
@pytest.mark.parametrize("standardise", [True, False])
def test_every_head_learns(name: str, frames: int, standardise: bool) -> None:
    """Forward, backward and a step at short and long clips, with its default options."""
    torch.manual_seed(0)
    head = build_head(name, dim=DIM, frames=frames, classes=2, standardise=standardise)
    labels = torch.arange(32) % 2
    features = torch.randn(32, frames, DIM) + labels.view(-1, 1, 1) * 2.0
    mask = torch.ones(32, frames, dtype=torch.bool)
    head.prepare([(features, mask)])
    optimizer = torch.optim.AdamW(head.train().parameters(), lr=0.01)
    losses = []
    for _ in range(12):
        loss = nn.functional.cross_entropy(trained(head, features, mask), labels)
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


def rising_or_falling(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Clips that are time reversals of one another between the two classes."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    slope = torch.linspace(-1, 1, FRAMES).view(1, FRAMES, 1) * (labels * 2 - 1).view(-1, 1, 1)
    return slope + 0.3 * torch.randn(count, FRAMES, DIM, generator=generator), labels


@pytest.mark.parametrize("name", head_names())
def test_which_heads_tell_a_clip_from_its_reversal(name: str) -> None:
    torch.manual_seed(0)
    options = SMALL[name] if name == "self-attention" else {}
    head = build_head(name, dim=DIM, frames=FRAMES, classes=2, **options)
    features, labels = rising_or_falling(128, seed=1)
    mask = torch.ones(128, FRAMES, dtype=torch.bool)
    head.prepare([(features, mask)])
    optimizer = torch.optim.AdamW(head.train().parameters(), lr=0.01)
    for _ in range(40):
        loss = nn.functional.cross_entropy(trained(head, features, mask), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    unseen, truth = rising_or_falling(128, seed=2)
    accuracy = (head.eval()(unseen, mask).argmax(dim=1) == truth).float().mean()
    if name in ("mean", "max", "average", "attentive-probe"):
        assert accuracy < 0.7
    else:
        assert accuracy > 0.95


@pytest.mark.parametrize("name", head_names())
def test_arguments_build_the_same_head_again(name: str) -> None:
    head = make(name)
    arguments = json.loads(json.dumps(head.arguments))
    again = build_head(name, **arguments)
    again.load_state_dict(head.state_dict())
    features, mask = torch.randn(2, FRAMES, DIM), torch.ones(2, FRAMES, dtype=torch.bool)
    assert torch.equal(again.eval()(features, mask), head(features, mask))
    assert again.arguments == arguments


@pytest.mark.filterwarnings("ignore:The tensor attributes")
@pytest.mark.parametrize("name", head_names())
def test_heads_can_be_exported(name: str) -> None:
    """No step depends in Python on what the tensors hold; the batch may have any size."""
    head = make(name)
    features, mask = torch.randn(3, FRAMES, DIM), torch.rand(3, FRAMES) > 0.3
    batch = torch.export.Dim("batch", min=2, max=512)
    shapes = {"features": {0: batch}, "mask": {0: batch}}
    exported = torch.export.export(head, (features, mask), dynamic_shapes=shapes).module()
    more, seen = torch.randn(5, FRAMES, DIM), torch.rand(5, FRAMES) > 0.5
    torch.testing.assert_close(exported(more, seen), head(more, seen), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", head_names())
def test_a_clip_without_visible_frames_gets_finite_logits(name: str) -> None:
    features = torch.full((2, FRAMES, DIM), math.nan)
    logits = make(name)(features, torch.zeros(2, FRAMES, dtype=torch.bool))
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", head_names())
def test_a_paper_is_named(name: str) -> None:
    kind = type(make(name))
    assert any(year in kind.paper for year in map(str, range(1980, 2030)))
    assert kind.__doc__


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("grue", {}, r"No head is named 'grue'. Did you mean 'gru'"),
        ("mean_max_min_std", {}, r"There are attentive-probe, average"),
        ("gru", {"hiden": 3}, r"gru head has no option 'hiden'. Did you mean 'hidden'"),
        ("mean", {"zzz": 3}, r"no option 'zzz'. It knows dropout, standardise"),
        ("gru", {"layers": 4}, r"layers \(4\) of the gru head must be a whole number, 1 to 3"),
        ("gru", {"hidden": 0}, r"hidden \(0\)"),
        ("gru", {"hidden": "many"}, r"hidden \('many'\)"),
        ("gru", {"hidden": True}, r"hidden \(True\)"),
        ("gru", {"hidden": [4, 0]}, r"hidden \(0\)"),
        ("gru", {"hidden": [4, 3], "layers": 3}, r"one for each layer \(layers: 3\)"),
        ("gru", {"hidden": [1, 1, 1, 1]}, r"list of 1 to 3"),
        ("gru", {"dense": -1}, r"dense \(-1\)"),
        ("lstm", {"bidirectional": 1}, r"bidirectional \(1\).*true or false"),
        ("mean", {"dropout": 1.0}, r"dropout \(1.0\).*0 or more and < 1"),
        ("mean", {"dropout": "half"}, r"dropout \('half'\)"),
        ("mean", {"standardise": "yes"}, r"standardise \('yes'\)"),
        ("average", {"hidden": -1}, r"hidden \(-1\)"),
        ("mlp-concat", {"hidden": 256}, r"hidden \(256\).*list of units"),
        ("mlp-concat", {"hidden": [256, 0]}, r"hidden \(0\)"),
        ("conv1d", {"kernel": 4}, r"kernel \(4\).*odd"),
        ("conv1d", {"pool": "sum"}, r"pool \('sum'\).*'max' or 'mean'"),
        ("self-attention", {"width": 10, "heads": 4}, r"width \(10\).*multiple of heads \(4\)"),
        ("statistics", {"segments": -1}, r"segments \(-1\)"),
        ("statistics", {"segments": 1.5}, r"segments \(1.5\)"),
    ],
)
def test_wrong_names_and_options(name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        build_head(name, dim=DIM, frames=FRAMES, classes=CLASSES, **options)


@pytest.mark.parametrize("what", ["dim", "frames", "classes"])
def test_shapes_must_be_positive(what: str) -> None:
    with pytest.raises(UsageError, match=rf"{what} \(0\)"):
        build_head("mean", **({"dim": 2, "frames": 2, "classes": 2} | {what: 0}))


def test_underscores_do_for_hyphens() -> None:
    assert make("mlp_concat", hidden=[2]).name == "mlp-concat"


def test_options_of_a_head_come_with_their_defaults() -> None:
    options = head_options("gru")
    expected = {"hidden": 256, "layers": 1, "bidirectional": False, "dense": 0, "dropout": 0.2}
    assert options == {**expected, "standardise": True, "centre": False}


@pytest.mark.parametrize("name", [name for name in head_names() if name != "statistics"])
def test_a_centred_head_does_not_see_what_stays(name: str) -> None:
    features = torch.randn(2, FRAMES, DIM)
    mask = torch.tensor([[True] * FRAMES, [False, True, True, True, False, True, False]])
    offset = 5 * torch.randn(2, 1, DIM)
    for centre in (True, False):
        head = make(name, centre=centre)
        same = torch.allclose(head(features, mask), head(features + offset, mask), atol=1e-3)
        assert same == centre


def test_centred_statistics_take_the_parts_from_the_clips_mean() -> None:
    head, plain = (make("statistics", fitted=False, centre=centre) for centre in (True, False))
    assert isinstance(head, StatisticsHead)
    assert isinstance(plain, StatisticsHead)
    features, mask = torch.randn(2, FRAMES, DIM), torch.ones(2, FRAMES, dtype=torch.bool)
    got = head.statistics(features, mask).view(2, 8, DIM)
    expected = plain.statistics(features, mask).view(2, 8, DIM).clone()
    expected[:, 4:] -= expected[:, :1]
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize(
    ("shape", "mask", "said"),
    [
        ((2, FRAMES, DIM + 1), torch.ones(2, FRAMES, dtype=torch.bool), "takes features"),
        ((2, DIM), torch.ones(2, FRAMES, dtype=torch.bool), "takes features"),
        ((2, FRAMES, DIM), torch.ones(2, FRAMES + 1, dtype=torch.bool), "mask must be bool"),
        ((2, FRAMES, DIM), torch.ones(2, FRAMES), "mask must be bool"),
        ((2, 3, DIM), torch.ones(2, 3, dtype=torch.bool), "made for clips of 7 frames, not 3"),
    ],
)
def test_wrong_shapes(shape: tuple[int, ...], mask: Tensor, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make("mlp-concat")(torch.zeros(shape), mask)


def test_average_is_the_average_of_the_frames_probabilities() -> None:
    head = make("average", hidden=0)
    features = torch.randn(2, FRAMES, DIM)
    mask = torch.tensor([[True] * FRAMES, [True, False, True] + [False] * (FRAMES - 3)])
    one = torch.ones(1, 1, dtype=torch.bool)
    for clip, seen, got in zip(features, mask, head(features, mask).softmax(dim=-1)):
        alone = [head(frame.view(1, 1, DIM), one).softmax(dim=-1)[0] for frame in clip[seen]]
        torch.testing.assert_close(got, torch.stack(alone).mean(dim=0))


def test_average_of_independent_labels_is_that_of_their_sigmoids() -> None:
    head = make("average", hidden=0, independent=True)
    features = 20 * torch.randn(2, FRAMES, DIM)
    mask = torch.tensor([[True] * FRAMES, [True, False, True] + [False] * (FRAMES - 3)])
    one = torch.ones(1, 1, dtype=torch.bool)
    for clip, seen, got in zip(features, mask, head(features, mask).sigmoid()):
        alone = [head(frame.view(1, 1, DIM), one).sigmoid()[0] for frame in clip[seen]]
        torch.testing.assert_close(got, torch.stack(alone).mean(dim=0))


@pytest.mark.parametrize(("kind", "cell"), [("gru", nn.GRU), ("lstm", nn.LSTM), ("rnn", nn.RNN)])
def test_recurrent_layers_are_those_of_packed_sequences(kind: str, cell: type[nn.RNNBase]) -> None:
    ours = Recurrent(kind, DIM, hidden=4, layers=2, bidirectional=True, dropout=0.0)
    theirs = cell(DIM, 4, num_layers=2, bidirectional=True, batch_first=True)  # type: ignore
    for place, own in enumerate(ours.cells):
        suffix = f"l{place // 2}" + ("_reverse" if place % 2 else "")
        for key, value in own.state_dict().items():
            theirs.state_dict()[key.replace("l0", suffix)].copy_(value)
    features, count = torch.randn(4, FRAMES, DIM), torch.tensor([FRAMES, 1, 3, 5])
    packed = nn.utils.rnn.pack_padded_sequence(
        features, count, batch_first=True, enforce_sorted=False
    )
    expected, last = theirs(packed)
    last = last[0] if isinstance(last, tuple) else last
    expected, _ = nn.utils.rnn.pad_packed_sequence(expected, batch_first=True)
    states, final = ours(features, count)
    torch.testing.assert_close(final, torch.cat([last[-2], last[-1]], dim=1))
    seen = torch.arange(FRAMES) < count.unsqueeze(1)
    torch.testing.assert_close(states[seen], expected[seen])


def test_units_of_each_layer_in_a_list() -> None:
    one, other = make("gru", hidden=5, layers=2), make("gru", hidden=[5, 5], layers=2)
    features, mask = torch.randn(2, FRAMES, DIM), torch.ones(2, FRAMES, dtype=torch.bool)
    assert torch.equal(one(features, mask), other(features, mask))
    narrow = make("gru", hidden=[5, 2], layers=1, dense=3, standardise=False)
    sizes = {key: tuple(value.shape) for key, value in narrow.state_dict().items()}
    assert sizes["recurrent.cells.1.weight_ih_l0"] == (3 * 2, 5)
    assert sizes["dense.0.weight"] == (3, 2)
    assert sizes["classifier.weight"] == (CLASSES, 3)
    state = narrow.recurrent(features, mask.sum(dim=1))[1]  # type: ignore
    hidden = (state @ narrow.dense[0].weight.T + narrow.dense[0].bias).clamp(min=0)  # type: ignore
    expected = hidden @ narrow.classifier.weight.T + narrow.classifier.bias  # type: ignore
    torch.testing.assert_close(narrow(features, mask), expected)


def test_visible_frames_move_to_the_front_in_their_order() -> None:
    features = torch.arange(5.0).view(1, 5, 1)
    moved, count = visible_first(features, torch.tensor([[False, True, False, True, True]]))
    assert moved.flatten().tolist() == [1, 3, 4, 0, 2]
    assert count.tolist() == [3]


def test_statistics_are_those_of_numpy() -> None:
    head = make("statistics", fitted=False)
    assert isinstance(head, StatisticsHead)
    features = torch.randn(1, FRAMES, DIM)
    x = features[0].numpy()
    got = head.statistics(features, torch.ones(1, FRAMES, dtype=torch.bool))[0].view(8, DIM)
    expected = [x.mean(0), x.max(0), x.std(0), np.abs(np.diff(x, axis=0)).mean(0)]
    expected += [x[:1].mean(0), x[1:3].mean(0), x[3:5].mean(0), x[5:7].mean(0)]
    np.testing.assert_allclose(got.numpy(), np.stack(expected), atol=1e-5)


@given(frames=st.integers(1, 20), segments=st.integers(1, 8))
def test_segments_cover_every_frame_once_where_there_are_enough(frames: int, segments: int) -> None:
    weights = segment_weights(torch.tensor([frames]), 20, segments)[0]
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(segments))
    assert (weights[:, frames:] == 0).all()
    if frames >= segments:
        assert ((weights[:, :frames] > 0).sum(dim=0) == 1).all()
    order = (weights * torch.arange(20)).sum(dim=1)
    assert (order.diff() >= 0).all()


@given(sizes=st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(any))
def test_standardisation_fitted_in_parts_is_the_one_of_the_whole(sizes: list[int]) -> None:
    rows = torch.randn(sum(sizes), 4, generator=torch.Generator().manual_seed(len(sizes)))
    rows = rows * torch.tensor([0.5, 1.0, 2.0, 1.0]) + torch.tensor([0.0, 100.0, -3.0, 1.0])
    standardise = Standardise(4)
    standardise.fit(rows.split(sizes))
    torch.testing.assert_close(standardise.mean, rows.mean(dim=0), atol=1e-4, rtol=1e-4)
    if len(rows) > 4:
        scale = 1 / rows.double().std(dim=0, correction=0)
        torch.testing.assert_close(standardise.scale.double(), scale, atol=1e-3, rtol=1e-3)


def test_what_hardly_varies_is_not_blown_up() -> None:
    rows = torch.randn(50, 3)
    rows[:, 0] = 4.0
    rows[:, 1] *= 1e-7
    standardise = Standardise(3)
    standardise.fit([rows])
    out = standardise(rows)
    assert (out[:, 0] == 0).all()
    assert out[:, 1].abs().max() < 1e-3
    assert out[:, 2].std() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("name", ["gru", "statistics"])
def test_preparing_leaves_hidden_frames_out(name: str) -> None:
    features = torch.randn(6, FRAMES, DIM)
    mask = torch.rand(6, FRAMES) > 0.3
    mask[:, 0] = True
    mask[5] = False  # a clip without any visible frame has no say either
    garbled = torch.where(mask.unsqueeze(-1), features, torch.tensor(math.nan))
    one, other = make(name, fitted=False), make(name, fitted=False)
    one.prepare([(features, mask)])
    other.prepare([(garbled[:2], mask[:2]), (garbled[2:], mask[2:])])
    assert one.standardise is not None
    assert other.standardise is not None
    torch.testing.assert_close(one.standardise.state_dict(), other.standardise.state_dict())
    assert not torch.equal(one.standardise.scale, torch.ones_like(one.standardise.scale))


def test_blocks_have_one_size_each_and_the_weights_they_were_given() -> None:
    head = build_head(
        "statistics", dim=5, dims=[2, 3], frames=FRAMES, classes=3, segments=2, centre=True,
        blocks=[0.5, 1.0, 0.25],
    )  # fmt: skip
    sizes = torch.tensor([1.0, 100.0, 0.01, 3.0, 7.0])
    features = torch.randn(50, FRAMES, 5, generator=torch.Generator().manual_seed(0)) * sizes
    mask = torch.ones(50, FRAMES, dtype=torch.bool)
    head.prepare([(features[:20], mask[:20]), (features[20:], mask[20:])])
    found = head.summary(features, mask).view(50, 4, 5)  # mean, change, two parts
    assert torch.allclose(found.mean(dim=0), torch.zeros(4, 5), atol=1e-5)
    energy = found.square().mean(dim=0)
    for streams in (slice(0, 2), slice(2, 5)):
        shares = [energy[rows, streams].sum() for rows in ([0], [2, 3], [1])]
        assert torch.allclose(torch.stack(shares), torch.tensor([0.5, 1.0, 0.25]) / 1.75 / 2)
    # Within a block sizes relative to each other stay: the second number is the largest.
    assert energy[0, 1] > 1000 * energy[0, 0]


def test_blocks_are_checked() -> None:
    for blocks in ([1.0, 2.0], [0, 0, 0], [1, 1, -1], "mean", [True, 1, 1]):
        with pytest.raises(UsageError, match=r"blocks .* must be 3 numbers"):
            build_head("statistics", dim=4, frames=FRAMES, classes=3, blocks=blocks)


class TestPartsOfTheBilstmThatCanBeLeftOut:
    """What an ablation of its attention and of its second direction trains."""

    def test_without_attention_it_is_the_mean_of_the_states(self) -> None:
        head = make("bilstm-attention", attention=0, layers=1)
        features = torch.randn(2, FRAMES, DIM)
        mask = torch.ones(2, FRAMES, dtype=torch.bool)
        states, _ = head.recurrent(head.standardised(features, mask), mask.sum(dim=1))
        expected = head.classifier(states.mean(dim=1))
        torch.testing.assert_close(head(features, mask), expected)
        assert head.attention_weights(features, mask) is None
        assert not any(name.startswith(("query", "key", "value")) for name in head.state_dict())

    def test_one_direction_has_half_the_states(self) -> None:
        both, one = (make("bilstm-attention", bidirectional=way) for way in (True, False))
        assert both.classifier.in_features == 2 * one.classifier.in_features
        assert len(one.recurrent.cells) == 2, "two layers of one direction"

    @pytest.mark.parametrize("options", [{"attention": -1}, {"bidirectional": 3}])
    def test_out_of_range(self, options: dict[str, Any]) -> None:
        with pytest.raises(UsageError, match=next(iter(options))):
            make("bilstm-attention", **options)
