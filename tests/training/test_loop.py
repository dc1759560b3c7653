"""The loop learns, stops, repeats itself, and survives a kill at any moment."""

import itertools
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from frameflow.config import Train
from frameflow.errors import FrameFlowError, UsageError
from frameflow.training.examples import Batch, FeatureExamples
from frameflow.training.history import read_history
from frameflow.training.loop import batches, predict, score, train_head

Heads = Callable[..., nn.Module]
Data = Callable[..., FeatureExamples]


def same(one: nn.Module, other: nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("optimizer", "balance"),
    [("adamw", "none"), ("adam", "weights"), ("sgd", "oversample")],
)
def test_learns_what_can_be_learned(
    make_head: Heads, make_examples: Data, optimizer: str, balance: str
) -> None:
    settings = Train(epochs=15, batch_size=16, optimizer=optimizer, lr=0.02, balance=balance)
    head, test = make_head(), make_examples(80, seed=5)
    fitted = train_head(head, make_examples(), make_examples(40, seed=1), settings)
    assert score(predict(head, test), test.targets)[1] > 0.9
    assert fitted.history[-1].train_loss < fitted.history[0].train_loss
    assert not head.training


def test_same_run_twice_gives_the_same_weights(make_head: Heads, make_examples: Data) -> None:
    def run(seed: int) -> nn.Module:
        head = make_head()
        train_head(head, make_examples(), make_examples(40, seed=1), Train(epochs=4, seed=seed))
        return head

    assert same(run(0), run(0))
    assert not same(run(0), run(1))


def test_training_leaves_the_callers_generators_alone(
    make_head: Heads, make_examples: Data
) -> None:
    head = make_head()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = random.random(), np.random.rand(), float(torch.rand(()))
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    train_head(head, make_examples(), None, Train(epochs=1))
    assert (random.random(), np.random.rand(), float(torch.rand(()))) == expected


def test_patience_ends_a_training_and_keeps_the_best_weights(
    make_head: Heads, make_examples: Data, tmp_path: Path
) -> None:
    # Validation targets that have nothing to do with the features: it can only get worse.
    validation = make_examples(40, seed=1)
    validation.targets = np.random.default_rng(0).permutation(validation.targets)
    head = make_head()
    settings = Train(epochs=40, lr=0.05, patience=3, batch_size=16)
    fitted = train_head(head, make_examples(), validation, settings, folder=tmp_path)
    losses = [row.val_loss for row in fitted.history if row.val_loss is not None]
    assert fitted.stopped_early
    assert len(losses) == fitted.best_epoch + 3 < 40
    assert fitted.best_epoch == 1 + int(np.argmin(losses))
    assert score(predict(head, validation), validation.targets)[0] == pytest.approx(min(losses))
    best = load_file(tmp_path / "checkpoints" / "best" / "model.safetensors")
    assert all(torch.equal(best[name], value) for name, value in head.state_dict().items())


def test_without_validation_all_epochs_run(
    make_head: Heads, make_examples: Data, tmp_path: Path
) -> None:
    settings = Train(epochs=5, patience=1)
    fitted = train_head(make_head(), make_examples(), None, settings, folder=tmp_path)
    assert fitted.epochs == fitted.best_epoch == 5
    rows = read_history(tmp_path / "history.csv")
    assert [row.epoch for row in rows] == [1, 2, 3, 4, 5]
    assert rows == fitted.history
    assert all(row.val_loss is None for row in rows)


def test_divergence_is_said_with_its_cure(make_head: Heads, make_examples: Data) -> None:
    settings = Train(epochs=50, lr=1e30, optimizer="sgd", warmup_epochs=0)
    with pytest.raises(FrameFlowError, match=r"diverged.*train\.lr=1e\+29"):
        train_head(make_head(), make_examples(), None, settings)


def test_no_sample_is_an_error(make_head: Heads, make_examples: Data) -> None:
    with pytest.raises(UsageError, match="no training sample"):
        train_head(make_head(), make_examples(0), None, Train())


def test_tensorboard_events_are_written(
    make_head: Heads, make_examples: Data, tmp_path: Path
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train_head(
        make_head(), make_examples(), make_examples(40, seed=1), Train(epochs=3), folder=tmp_path
    )
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("loss/val")] == [1, 2, 3]
    assert {"loss/train", "top1/train", "top1/val", "lr"} <= set(events.Tags()["scalars"])


# Slow batches, so that a kill falls between checkpoints and inside epochs alike.
CHILD = """
import sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
sys.path.insert(0, {tests!r})
import conftest, test_loop
make = conftest.make_examples.__wrapped__()
training = make()
batch = training.batch
training.batch = lambda rows, rng: (time.sleep(0.1), batch(rows, rng))[1]
head = conftest.make_head.__wrapped__()()
run = Path(sys.argv[1])
test_loop.train_long(head, training, make(40, seed=1), run, resume="--resume" in sys.argv)
"""


def train_long(
    head: nn.Module,
    training: FeatureExamples,
    validation: FeatureExamples,
    run: Path,
    *,
    resume: bool,
) -> None:
    settings = Train(epochs=12, batch_size=30, lr=0.01, patience=None)
    train_head(head, training, validation, settings, folder=run, resume=resume)


def test_a_killed_training_resumes_to_the_same_weights(
    make_head: Heads, make_examples: Data, tmp_path: Path, start_child: Callable[..., Any]
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir(), broken.mkdir()
    code = CHILD.format(tests=str(Path(__file__).parent))
    for arguments in ([], ["--resume"]):
        process = start_child(code, broken, *arguments)
        before = checkpoint_time(broken)
        while checkpoint_time(broken) == before:
            assert process.poll() is None, "it ended before it was killed"
            time.sleep(0.005)  # until it has written another checkpoint
        time.sleep(random.uniform(0, 0.5))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL

    data = make_examples(), make_examples(40, seed=1)
    heads = make_head(), make_head(seed=5)
    train_long(heads[0], *data, whole, resume=False)
    train_long(heads[1], *data, broken, resume=True)
    assert same(*heads)
    for name in ("last/model", "last/optimizer", "last/random", "best/model"):
        first, second = (run / "checkpoints" / f"{name}.safetensors" for run in (whole, broken))
        assert first.read_bytes() == second.read_bytes(), name
    rows, expected = read_history(broken / "history.csv"), read_history(whole / "history.csv")
    assert [row.epoch for row in rows] == list(range(1, 13))
    for row in (*rows, *expected):
        row.seconds = 0.0
    assert rows == expected


def checkpoint_time(run: Path) -> float:
    state = run / "checkpoints" / "last" / "state.json"
    try:
        return state.stat().st_mtime
    except OSError:
        return 0.0


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_an_interrupted_training_resumes_to_the_same_weights(
    make_head: Heads, make_examples: Data, tmp_path: Path, optimizer: str
) -> None:
    settings = Train(epochs=6, batch_size=30, optimizer=optimizer, balance="oversample")
    whole = make_head()
    train_head(whole, make_examples(), None, settings)

    broken, training = make_head(), make_examples()
    batch, calls = training.batch, itertools.count()

    def stop(rows: np.ndarray, rng: np.random.Generator | None) -> Batch:
        if next(calls) == 15:  # 4 batches an epoch
            raise OSError
        return batch(rows, rng)

    training.batch = stop
    with pytest.raises(OSError):
        train_head(broken, training, None, settings, folder=tmp_path)
    broken = make_head(seed=8)
    train_head(broken, make_examples(), None, settings, folder=tmp_path, resume=True)
    assert same(whole, broken)


def test_resuming_a_finished_training_changes_nothing(
    make_head: Heads, make_examples: Data, tmp_path: Path
) -> None:
    def run(resume: bool) -> nn.Module:
        head, settings = make_head(), Train(epochs=3)
        validation = make_examples(40, seed=1)
        train_head(head, make_examples(), validation, settings, folder=tmp_path, resume=resume)
        return head

    first = run(False)
    assert same(first, run(True))
    assert len(read_history(tmp_path / "history.csv")) == 3


def test_a_checkpoint_of_another_training_is_refused(
    make_head: Heads, make_examples: Data, tmp_path: Path
) -> None:
    train_head(make_head(), make_examples(), None, Train(epochs=2), folder=tmp_path)
    with pytest.raises(UsageError, match=r"different: lr.*without --resume"):
        train_head(
            make_head(), make_examples(), None, Train(epochs=2, lr=1), folder=tmp_path, resume=True
        )


def test_batches_cover_every_sample_once_in_nearly_equal_parts() -> None:
    targets = np.zeros(65, dtype=np.int64)
    parts = list(batches(targets, Train(batch_size=64), np.random.default_rng(0)))
    assert sorted(len(part) for part in parts) == [32, 33]
    assert sorted(np.concatenate(parts)) == list(range(65))


def test_oversampling_draws_classes_alike() -> None:
    targets = np.repeat([0, 1], [900, 100])
    settings = Train(balance="oversample")
    drawn = np.concatenate(list(batches(targets, settings, np.random.default_rng(0))))
    assert 0.4 < (targets[drawn] == 1).mean() < 0.6


def test_steps_that_are_added_up_are_one_larger_step(make_head: Heads, make_examples: Data) -> None:
    """Batches of 7 and 8 of 30 samples: each sample weighs the same."""
    heads, rates = [make_head(), make_head()], []
    for head, (size, accumulate) in zip(heads, [(30, 1), (8, 4)]):
        head.norm, head.drop = nn.Identity(), nn.Identity()  # which see a batch as a whole
        settings = Train(
            epochs=3, batch_size=size, accumulate=accumulate, lr=0.05, optimizer="sgd",
            weight_decay=0, clip_grad=0.5,
        )  # fmt: skip
        # One view: a batch draws the views of its samples, so others would be drawn.
        fitted = train_head(head, make_examples(30, views=1), None, settings)
        rates.append([row.lr for row in fitted.history])
    assert rates[0] == rates[1]
    for one, other in zip(*(head.state_dict().values() for head in heads)):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_the_average_is_what_is_scored_and_kept(make_head: Heads, make_examples: Data) -> None:
    validation, heads = make_examples(40, seed=1), []
    for ema in (None, 0.95):
        heads.append(make_head())
        settings = Train(epochs=3, batch_size=16, lr=0.02, ema=ema)
        fitted = train_head(heads[-1], make_examples(), validation, settings)
        kept = score(predict(heads[-1], validation), validation.targets)
        assert kept[0] == pytest.approx(fitted.best_loss)
    assert not same(*heads)


def test_rounds_start_from_the_best_with_a_lower_rate(
    make_head: Heads, make_examples: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    from frameflow.training._learner import Learner

    begun = []
    real = Learner.restart

    def restart(self: Learner, weights: dict[str, torch.Tensor]) -> None:
        real(self, weights)
        assert not self.optimizer.state
        validation = make_examples(40, seed=1)
        begun.append(score(predict(self.module, validation), validation.targets)[0])

    monkeypatch.setattr(Learner, "restart", restart)
    settings = Train(
        epochs=6, batch_size=16, lr=0.3, schedule="constant", warmup_epochs=0, patience=2,
        rounds=(1.0, 0.1, 0.01), optimizer="adam",
    )  # fmt: skip
    fitted = train_head(make_head(), make_examples(), make_examples(40, seed=1), settings)
    assert len(fitted.ends) == 3
    assert fitted.epochs == fitted.ends[-1]
    starts = [0, *fitted.ends[:-1]]
    for number, (start, end) in enumerate(zip(starts, fitted.ends)):
        rows = fitted.history[start:end]
        assert [row.lr for row in rows] == pytest.approx([0.3 * 0.1**number] * len(rows))
        losses = [row.val_loss for row in fitted.history[:end] if row.val_loss is not None]
        early = end - max(1 + int(np.argmin(losses)), start) >= 2
        assert early or end - start == 6
    for start, loss in zip(starts[1:], begun):
        before = [row.val_loss for row in fitted.history[:start] if row.val_loss is not None]
        assert loss == pytest.approx(min(before))
    assert fitted.best_loss == min(row.val_loss or 9 for row in fitted.history)


def test_without_validation_a_round_goes_on_from_the_last_epoch(
    make_head: Heads, make_examples: Data
) -> None:
    settings = Train(epochs=2, rounds=(1.0, 0.5), patience=1)
    fitted = train_head(make_head(), make_examples(), None, settings)
    assert fitted.ends == [2, 4]
    assert fitted.best_epoch == 4
    assert not fitted.stopped_early


def test_several_labels_are_learned(make_head: Heads, make_examples: Data) -> None:
    def several(samples: int, seed: int) -> FeatureExamples:
        examples = make_examples(samples, seed=seed, noise=0.3)
        targets = np.eye(4, dtype=np.float32)[examples.targets]
        targets[:, 3] = examples.targets >= 2  # classes 2 and 3 share a label
        return FeatureExamples(examples.features, targets)

    validation, head = several(40, 1), make_head()
    settings = Train(epochs=30, batch_size=16, lr=0.03, balance="oversample")
    fitted = train_head(head, several(120, 0), validation, settings)
    logits = predict(head, validation)
    assert ((logits > 0).numpy() == validation.targets).mean() > 0.95
    best = fitted.history[fitted.best_epoch - 1]
    assert best.val_top1 is not None
    assert best.val_top1 > 0.95
    assert best.val_loss == pytest.approx(score(logits, validation.targets)[0], rel=1e-5)


def test_oversampling_of_several_labels_draws_rare_ones_more() -> None:
    targets = np.zeros((1000, 3), dtype=np.float32)
    targets[:900, 0] = 1
    targets[900:950, 1] = 1
    settings = Train(balance="oversample")  # the last 50 have no label: a class of their own
    drawn = np.concatenate(list(batches(targets, settings, np.random.default_rng(0))))
    shares = [(drawn < 900).mean(), ((drawn >= 900) & (drawn < 950)).mean(), (drawn >= 950).mean()]
    assert shares == pytest.approx([1 / 3] * 3, abs=0.06)


def test_streams_that_learn_on_their_own_are_trained(make_examples: Data) -> None:
    class Streams(nn.Module):
        """Logits (B, 2, K) in training and (B, K) after it, as late fusion gives."""

        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleList(nn.Linear(6, 4) for _ in range(2))

        def forward(self, features: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            mean = (features * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
            logits = [part(half) for part, half in zip(self.parts, mean.split(6, dim=1))]
            stacked = torch.stack(logits, dim=1)
            return stacked if self.training else stacked.softmax(2).mean(1).log()

    torch.manual_seed(0)
    module, test = Streams(), make_examples(80, seed=5)
    settings = Train(epochs=20, lr=0.05, batch_size=16)
    fitted = train_head(module, make_examples(), make_examples(40, seed=1), settings)
    assert score(predict(module, test), test.targets)[1] > 0.9
    assert fitted.history[-1].train_top1 > 0.8
