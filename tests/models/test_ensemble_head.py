"""The mean of several heads, each of its own streams and frames."""

from typing import Any

import pytest
import torch

from frameflow.errors import UsageError
from frameflow.models.heads import Head, build_head, head_names

DIMS = [4, 3, 5]  # of the streams


def member(streams: list[int], labels: list[int], steps: int, **options: Any) -> dict[str, Any]:
    dims = [DIMS[i] for i in streams]
    head = build_head("mean", dim=sum(dims), frames=steps, classes=3, **options)
    return {
        "name": f"of {streams}",
        "head": head.name,
        "arguments": head.arguments,
        "streams": streams,
        "labels": labels,
        "steps": steps,
    }


def ensemble(*members: dict[str, Any], weights: list[float], **options: Any) -> Head:
    torch.manual_seed(0)
    head = build_head(
        "ensemble", dim=sum(DIMS), frames=6, classes=3, dims=DIMS, members=list(members),
        weights=weights, **options,
    ).eval()  # fmt: skip
    with torch.no_grad():
        for name, parameter in head.named_parameters():
            assert "log_weights" not in name  # it is not learnt
            parameter.copy_(torch.randn_like(parameter))
    return head


def own(head: Any, number: int, features: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return head.heads[number](features, mask)


@pytest.mark.parametrize("several", [False, True])
def test_it_says_the_weighted_mean_of_what_they_say(several: bool) -> None:
    members = (member([2, 0], [0, 1, 2], 6), member([1], [2, 0, 1], 6))
    head = ensemble(*members, weights=[0.25, 0.75], independent=several)
    features = torch.randn(5, 6, sum(DIMS))
    mask = torch.tensor([[True] * 6, [True, False] * 3] + [[True] * 5 + [False]] * 3)
    features = features.masked_fill(~mask.unsqueeze(-1), torch.nan)  # padding changes nothing
    first = own(head, 0, torch.cat([features[..., 7:], features[..., :4]], dim=-1), mask)
    second = own(head, 1, features[..., 4:7], mask)[:, [2, 0, 1]]

    def shares(logits: torch.Tensor) -> torch.Tensor:
        return logits.sigmoid() if several else logits.softmax(dim=-1)

    expected = 0.25 * shares(first) + 0.75 * shares(second)
    torch.testing.assert_close(shares(head(features, mask)), expected, atol=1e-5, rtol=1e-4)
    again = build_head("ensemble", **head.arguments).eval()
    again.load_state_dict(head.state_dict())
    torch.testing.assert_close(again(features, mask), head(features, mask))
    assert head.told == {"members": "of [2, 0] 0.25, of [1] 0.75"}


def test_members_of_other_frames_keep_their_own_masks() -> None:
    members = (member([0], [0, 1, 2], 6), member([1, 2], [0, 1, 2], 2))
    head = ensemble(*members, weights=[0.5, 0.5], apart=True)
    features = torch.randn(3, 6, sum(DIMS))
    features[:, 2:, 4:] = torch.nan  # the second has two steps
    features[0, 3:, :4] = torch.nan  # and the first is padded in one clip
    first = own(head, 0, features[..., :4].nan_to_num(), ~features[..., 0].isnan())
    second = own(head, 1, features[:, :2, 4:], torch.ones(3, 2, dtype=torch.bool))
    expected = (first.softmax(dim=-1) + second.softmax(dim=-1)) / 2
    found = head(features, torch.ones(3, 6, dtype=torch.bool))
    torch.testing.assert_close(found.softmax(dim=-1), expected, atol=1e-5, rtol=1e-4)


def test_a_weight_of_zero_silences_a_member() -> None:
    members = (member([0], [0, 1, 2], 6), member([1], [0, 1, 2], 6))
    head = ensemble(*members, weights=[1.0, 0.0])
    features, mask = torch.randn(2, 6, sum(DIMS)), torch.ones(2, 6, dtype=torch.bool)
    expected = own(head, 0, features[..., :4], mask).softmax(dim=-1)
    torch.testing.assert_close(head(features, mask).softmax(dim=-1), expected)


def test_it_is_put_together_and_not_asked_for() -> None:
    assert "ensemble" not in head_names()
    with pytest.raises(UsageError, match="`frameflow ensemble RUN RUN -o OUT`"):
        build_head("ensemble", dim=4, frames=2, classes=3)
    one = member([0], [0, 1, 2], 6)
    with pytest.raises(UsageError, match=r"must be 1 numbers"):
        ensemble(one, weights=[0.5, 0.5])
    with pytest.raises(UsageError, match="add up to 1"):
        ensemble(one, weights=[0.5])
