"""Features become examples."""

import numpy as np
import pytest
import torch

from frameflow.training.examples import ArrayFeatures, FeatureExamples, in_memory, view_means


def numbered(views: int, samples: int) -> ArrayFeatures:
    """Each feature says its view and sample: 100 * view + sample."""
    values = 100 * np.arange(views)[:, None] + np.arange(samples)
    features = np.broadcast_to(values[..., None, None], (views, samples, 3, 2))
    return ArrayFeatures(features.astype(np.float16))


class OnDisk:
    """Counts how often it is read."""

    def __init__(self, inner: ArrayFeatures) -> None:
        self.inner, self.reads = inner, 0
        self.views, self.dim, self.frames = inner.views, inner.dim, inner.frames
        self.samples = inner.samples

    def batch(self, rows: np.ndarray, view: int | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.reads += 1
        features, mask = self.inner.batch(rows, view)
        return features.astype(np.float32), mask


def test_training_draws_every_view_of_the_right_sample() -> None:
    examples = FeatureExamples(numbered(3, 50), np.zeros(10, int), rows=np.arange(20, 30))
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(20):
        features, mask, *_ = examples.batch(np.array([9, 0, 4]), rng)
        values = features[:, 0, 0].int().numpy()
        assert (values % 100 == [29, 20, 24]).all()
        assert mask.all()
        seen |= set(values // 100)
    assert seen == {0, 1, 2}


def test_without_a_generator_the_first_view_is_taken() -> None:
    examples = FeatureExamples(numbered(3, 5), np.zeros(5, int))
    assert examples.batch(np.arange(5), None)[0][:, 0, 0].tolist() == [0, 1, 2, 3, 4]


def test_every_view_is_an_example_and_means_put_them_together() -> None:
    examples = FeatureExamples(numbered(2, 4), [3, 1], rows=np.array([2, 0]), every_view=True)
    assert len(examples) == 4
    assert examples.targets.tolist() == [3, 3, 1, 1]
    values = examples.batch(np.arange(4), None)[0][:, 0, 0].numpy()
    assert values.tolist() == [2, 102, 0, 100]
    assert view_means(values[:, None], 2).ravel().tolist() == [52, 50]


def test_memory_holds_the_same_and_the_disk_is_read_no_more() -> None:
    source = OnDisk(numbered(2, 600))
    held = in_memory(source)
    reads = source.reads
    rows, views = np.array([599, 3, 256]), np.array([1, 0, 1])
    features, mask = held.batch(rows, views)
    assert source.reads == reads
    expected = source.batch(rows, views)
    assert (features == expected[0]).all()
    assert (mask == expected[1]).all()


def test_more_than_the_limit_stays_on_disk() -> None:
    source = OnDisk(numbered(2, 600))
    assert in_memory(source, limit=2 * 600 * 3 * 2 * 2 - 1) is source


def test_parts_are_all_examples_in_order() -> None:
    examples = FeatureExamples(numbered(1, 600), np.zeros(600, int))
    features = torch.cat([part for part, _ in examples.parts()])
    assert features.dtype == torch.float32
    assert features[:, 0, 0].tolist() == list(range(600))


@pytest.mark.parametrize("targets", [[0], [0, 1, 2]])
def test_one_target_for_each_row(targets: list[int]) -> None:
    with pytest.raises(ValueError, match="one for each of 2 rows"):
        FeatureExamples(numbered(1, 2), targets)


def test_masks_must_fit() -> None:
    with pytest.raises(ValueError, match="mask"):
        ArrayFeatures(np.zeros((2, 3, 4)), np.ones((2, 4), bool))
