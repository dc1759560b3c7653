"""The loss of labels and of what a teacher says, and what carries it to the loop."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn

from frameflow.config import Augment, Distill, Train, load_recipe
from frameflow.data.manifest import Manifest
from frameflow.errors import UsageError
from frameflow.models.heads import build_head
from frameflow.models.recognizer import build_streams
from frameflow.training.distill import Distilled, Hinted, compressed, last_layer, tempered
from frameflow.training.examples import FeatureExamples
from frameflow.training.loop import fit, train_head
from frameflow.training.losses import make_loss
from frameflow.training.videos import VideoExamples

PLAIN = Train(label_smoothing=0)
TRUTH = torch.tensor([0, 2, 1])


def loss_of(multilabel: bool = False, **settings: float) -> Distilled:
    targets = np.eye(4, dtype=np.float32) if multilabel else np.arange(4)
    settings = {"teacher": "run", **settings}
    return Distilled(make_loss(PLAIN, targets), Distill(**settings), 4, multilabel=multilabel)


def logits(rows: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, 4, generator=torch.Generator().manual_seed(seed), requires_grad=True)


@settings(deadline=None)
@given(arrays(np.float64, (3, 4), elements=st.floats(0.01, 1)), st.floats(0.2, 20))
def test_temperature_divides_the_logits(raw: np.ndarray, temperature: float) -> None:
    shares = raw / raw.sum(axis=1, keepdims=True)
    found = torch.from_numpy(tempered(shares, temperature, multilabel=False))
    expected = (torch.from_numpy(shares).log() / temperature).softmax(dim=1)
    torch.testing.assert_close(found, expected.float(), atol=1e-5, rtol=1e-4)
    each = np.clip(raw, 0.02, 0.98)
    found = torch.from_numpy(tempered(each, temperature, multilabel=True))
    expected = (torch.from_numpy(each).logit() / temperature).sigmoid()
    torch.testing.assert_close(found, expected.float(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_gradient_is_the_difference_of_both_sides(temperature: float) -> None:
    """Hinton et al.: at temperature T that of a logit is T (q - p), a sample of the mean."""
    own, soft = logits(), torch.rand(3, 4).softmax(dim=1)
    loss = loss_of(weight=1.0, temperature=temperature)
    cost, _ = loss.of(own, TRUTH, soft)
    cost.backward()
    expected = temperature * ((own / temperature).softmax(dim=1) - soft) / 3
    torch.testing.assert_close(own.grad, expected)


@pytest.mark.parametrize("multilabel", [False, True])
def test_who_says_what_the_teacher_says_pays_for_the_labels_alone(multilabel: bool) -> None:
    own = logits().detach()
    truth = torch.nn.functional.one_hot(TRUTH, 4).float() if multilabel else TRUTH
    probabilities = own.sigmoid() if multilabel else own.softmax(dim=1)
    soft = torch.from_numpy(tempered(probabilities.numpy(), 3.0, multilabel=multilabel))
    loss = loss_of(multilabel, weight=0.25, temperature=3.0)
    cost, shown = loss.of(own, truth, soft)
    assert float(cost) == pytest.approx(0.75 * float(loss(own, truth)), abs=1e-5)
    assert torch.equal(shown, own)
    other, _ = loss.of(own.flip(0), truth, soft)
    assert other > loss(own.flip(0), truth) * 0.75 + 0.01


def test_a_clip_of_which_nothing_is_said_counts_by_its_label() -> None:
    own, soft = logits(), torch.rand(3, 4).softmax(dim=1)
    loss = loss_of(weight=0.5)
    soft[1] = torch.nan
    parts = [loss.of(own[i : i + 1], TRUTH[i : i + 1], soft[i : i + 1])[0] for i in range(3)]
    whole = loss.of(own, TRUTH, soft)[0]
    torch.testing.assert_close(whole, torch.stack(parts).mean())
    torch.testing.assert_close(parts[1], loss(own[1:2], TRUTH[1:2]))
    soft[:] = torch.nan
    torch.testing.assert_close(loss.of(own, TRUTH, soft)[0], loss(own, TRUTH))


def test_a_label_that_the_teacher_lacks_has_no_soft_target() -> None:
    own = logits()
    soft = torch.rand(3, 4)
    soft[:, 3] = torch.nan
    cost, _ = loss_of(True, weight=1.0).of(own, torch.zeros(3, 4), soft)
    cost.backward()
    assert float(own.grad[:, 3].abs().max()) == 0
    assert float(own.grad[:, :3].abs().min()) > 0


def test_streams_that_learn_alone_are_each_taught() -> None:
    one, two, soft = logits(seed=1), logits(seed=2), torch.rand(3, 4).softmax(dim=1)
    loss = loss_of(weight=0.7)
    both, _ = loss.of(torch.stack([one, two], dim=1), TRUTH, soft)
    each = [loss.of(stream, TRUTH, soft)[0] for stream in (one, two)]
    torch.testing.assert_close(both, torch.stack(each).mean())


def test_soft_targets_are_learnt(
    make_head: Callable[..., nn.Module], make_examples: Callable[..., FeatureExamples]
) -> None:
    """With labels that say nothing, what is learnt is the teacher's."""
    training, test = make_examples(views=1, noise=0.3), make_examples(views=1, noise=0.3, seed=5)
    training.taught = np.eye(4, dtype=np.float32)[training.targets]
    training.targets = np.random.default_rng(0).permutation(training.targets)
    settings = Train(epochs=20, batch_size=16, lr=0.01)
    for weight, learns in ((1.0, True), (0.0, False)):
        head = make_head()
        loss = loss_of(weight=weight, temperature=1.0)
        train_head(head, training, None, settings, loss=loss)
        features, mask = test.features.batch(np.arange(len(test)), 0)
        said = head(torch.from_numpy(features).float(), torch.from_numpy(mask)).argmax(dim=1)
        share = float((said.numpy() == test.targets).mean())
        assert (share > 0.9) == learns, share


def test_features_are_found_in_what_the_head_reads() -> None:
    rng = np.random.default_rng(0)
    head = build_head("conv1d", dim=6, frames=4, classes=4)
    module = Hinted(head, head, 3)
    given, mask = torch.from_numpy(rng.normal(size=(8, 4, 6))).float(), torch.ones(8, 4).bool()
    outputs = module(given, mask)
    assert outputs.shape == (8, 7)
    assert module.eval()(given, mask).shape == (8, 4)
    taught = torch.full((8, 7), torch.nan)
    taught[:, 4:] = torch.from_numpy(rng.normal(size=(8, 3))).float()
    loss, truth = loss_of(weight=0.0, features=2.0), torch.arange(8) % 4
    cost, _ = loss.of(outputs, truth, taught)
    apart = (outputs[:, 4:] - taught[:, 4:]).square().mean()
    torch.testing.assert_close(cost, loss(outputs[:, :4], truth) + 2 * apart)
    cost.backward()
    assert all(float(p.grad.abs().sum()) > 0 for p in module.projection.parameters())
    assert isinstance(Hinted(head, head, head.classifier.in_features).projection, nn.Identity)


def test_matching_goes_on_after_a_stop(
    make_examples: Callable[..., FeatureExamples], tmp_path: object
) -> None:
    training = make_examples(views=1)
    rng = np.random.default_rng(1)
    training.taught = rng.random((len(training), 7)).astype(np.float32)
    loss = loss_of(weight=0.5, features=1.0)

    def learn(epochs: int, **options: object) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        head = build_head("conv1d", dim=12, frames=6, classes=4)
        settings = Train(epochs=epochs, warmup_epochs=0, schedule="constant")
        fit(Hinted(head, head, 3), training, None, settings, loss=loss, **options)
        return head.state_dict()

    whole = learn(2)
    again = learn(2, folder=tmp_path)
    assert all(torch.equal(whole[key], again[key]) for key in whole)


@pytest.mark.parametrize("name", ["average", "late-fusion"])
def test_heads_without_one_vector_a_clip_cannot_match(name: str) -> None:
    head = build_head(name, dim=6, frames=4, classes=3)
    with pytest.raises(UsageError, match=r"train\.distill\.features"):
        Hinted(head, head, 3)


def test_nothing_can_be_matched_before_a_fixed_summary() -> None:
    head = build_head("statistics", dim=6, frames=4, classes=3)
    with pytest.raises(UsageError, match="nothing learns before the last layer"):
        last_layer(head, load_recipe("default"))


def test_compressed_features_keep_their_distances() -> None:
    rows = np.random.default_rng(0).normal(size=(9, 40)) @ np.diag([9.0] * 3 + [0.0] * 37)
    found = compressed(rows)
    assert found.shape == (9, 3)
    assert np.square(found).mean() == pytest.approx(1)
    apart, kept = (np.linalg.norm(r[:, None] - r[None], axis=2) for r in (rows, found))
    np.testing.assert_allclose(kept / apart.max(), apart / apart.max() ** 2 * kept.max(), atol=1e-5)


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_what_is_taught_is_mixed_and_mirrored_like_the_labels(
    manifest: Manifest, tiny: list[str], kind: str
) -> None:
    options = [*tiny, "train.learn=[{parts: ['*']}]", "train.cache='off'"]
    recipe = load_recipe("default", options)
    pair = ("blå", "red")
    recipe = recipe.model_copy(
        update={"augment": Augment(flip=True, mirror=(pair,), **{kind: 1.0})}
    )
    labels = manifest.label_names()
    made = VideoExamples(manifest, recipe, build_streams(recipe), labels, purpose="train")
    extra = np.arange(len(made), dtype=np.float32)[:, None]
    made.taught = np.hstack([np.eye(3, dtype=np.float32)[made.targets], extra])
    batch = made.batch(np.arange(12), np.random.default_rng(3))
    torch.testing.assert_close(batch.taught[:, :3], batch.targets)
    assert float(batch.targets.amax(dim=1).min()) < 1
    assert batch.taught.shape == (12, 4)
    half = made.part(np.arange(12), np.random.default_rng(3), slice(6, 12))
    torch.testing.assert_close(half.taught, batch.taught[6:])
