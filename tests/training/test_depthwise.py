"""Depthwise convolutions in bfloat16: the values of PyTorch's, gradients nearer to exact ones."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from frameflow.training import _depthwise
from frameflow.training._depthwise import FastDepthwise


def gradients(layer: nn.Module, images: torch.Tensor, *, fast: bool) -> list[torch.Tensor]:
    """The output, and the gradients of images and filters, of a bfloat16 step."""
    layer.zero_grad()
    images = images.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        if fast:
            with FastDepthwise():
                out = layer(images)
        else:
            out = layer(images)
    (out.float() ** 2).sum().backward()
    assert images.grad is not None
    return [out, images.grad, *(p.grad for p in layer.parameters() if p.grad is not None)]


@settings(max_examples=25, deadline=None)
@given(
    channels=st.integers(2, 9), size=st.integers(5, 12), kernel=st.sampled_from([3, 5]),
    stride=st.integers(1, 2), padding=st.integers(0, 2), last=st.booleans(),
)  # fmt: skip
def test_it_computes_what_pytorch_does(
    channels: int, size: int, kernel: int, stride: int, padding: int, last: bool
) -> None:
    torch.manual_seed(channels)
    options = {"stride": stride, "padding": padding, "groups": channels, "bias": False}
    layer = nn.Conv2d(channels, channels, kernel, **options)
    images = torch.randn(3, channels, size, size)
    if last:
        images = images.contiguous(memory_format=torch.channels_last)
    ours, theirs = gradients(layer, images, fast=True), gradients(layer, images, fast=False)
    assert torch.equal(ours[0], theirs[0])
    for one, other in zip(ours[1:], theirs[1:], strict=True):
        assert one.dtype == other.dtype
        assert torch.allclose(one, other, rtol=0.03, atol=0.03 * float(other.abs().max()))


def test_only_depthwise_filters_that_learn_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Any] = []
    real = _depthwise._Depthwise.apply
    monkeypatch.setattr(
        _depthwise._Depthwise, "apply", lambda *args: taken.append(args) or real(*args)
    )
    images = torch.randn(1, 4, 8, 8)
    frozen = nn.Conv2d(4, 4, 3, groups=4, bias=False).requires_grad_(False)
    layers = [
        nn.Conv2d(4, 4, 3, bias=False), nn.Conv2d(4, 4, 3, groups=4), frozen,
        nn.Conv2d(4, 4, 3, groups=4, padding="same", bias=False),
    ]  # fmt: skip
    with FastDepthwise():
        for layer in layers:
            layer(images)
        assert not taken
        nn.Conv2d(4, 4, 3, groups=4, bias=False)(images)
        functional.conv2d(images, torch.randn(4, 4, 3, 3))
    assert len(taken) == 1
