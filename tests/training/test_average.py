"""The moving average of the weights."""

import numpy as np
import pytest
import torch
from torch import nn

from frameflow.training._average import Average


def test_it_is_the_formula() -> None:
    module, rng = nn.Linear(2, 1, bias=False), np.random.default_rng(0)
    average = Average(module, 0.6)
    expected = module.weight.detach().clone()
    for update in range(1, 20):
        module.weight.data = torch.from_numpy(rng.normal(size=(1, 2))).float()
        average.update()
        decay = min(0.6, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay) * module.weight.detach()
    torch.testing.assert_close(average.values["weight"], expected)
    assert average.updates == 19


def test_what_does_not_learn_stays_exactly() -> None:
    module = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    module[0].requires_grad_(False)
    module[1].running_mean.fill_(0.1)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    average = Average(module, 0.7)
    for _ in range(5):
        average.update()
    with average.applied():
        assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_statistics_are_averaged_too() -> None:
    module = nn.BatchNorm1d(2)
    average = Average(module, 0.9)
    module.running_mean.fill_(1.0)
    average.update()
    assert 0 < float(average.values["running_mean"][0]) < 1


def test_applied_it_is_in_the_module_and_then_not() -> None:
    module = nn.Linear(2, 2)
    average = Average(module, 0.9)
    module.weight.data += 1
    own = module.weight.detach().clone()
    with pytest.raises(OSError), average.applied():  # noqa: PT012
        assert torch.equal(module.weight, average.values["weight"])
        assert not torch.equal(module.weight, own)
        raise OSError
    assert torch.equal(module.weight, own)
    average.restart()
    assert torch.equal(average.values["weight"], own)
    assert average.updates == 0
