"""Depthwise convolutions whose gradients a CPU computes in good time.

In bfloat16 PyTorch takes several times as long for the gradient of a depthwise filter as in
float32, which made that one gradient most of a training step of EfficientNet and its like. Here
the filter's gradient is computed in float32 (and is more exact), all else in bfloat16.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_gradients = torch.ops.aten.convolution_backward


class FastDepthwise(TorchFunctionMode):
    """While it is entered, depthwise 2D convolutions without a bias are `_Depthwise`."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if function is functional.conv2d and not kwargs and _is_depthwise(args):
            images, filters, _, stride, padding, dilation, _ = args
            return _Depthwise.apply(images, filters, stride, padding, dilation)
        return function(*args, **(kwargs or {}))


def _is_depthwise(args: tuple[Any, ...]) -> bool:
    if len(args) != 7 or args[2] is not None or any(isinstance(arg, str) for arg in args[3:6]):
        return False
    return bool(args[1].requires_grad and args[6] == args[0].shape[1] > 1)


class _Depthwise(torch.autograd.Function):
    """``(N, C, H, W)`` and ``(C, 1, k, k)`` to ``(N, C, H', W')`` bfloat16."""

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, filters: Tensor, stride: Any, padding: Any, dilation: Any
    ) -> Tensor:
        ctx.given = images.dtype
        ctx.options = tuple(_pair(value) for value in (stride, padding, dilation))
        images, halved = images.bfloat16(), filters.bfloat16()
        ctx.save_for_backward(images, halved)
        stride, padding, dilation = ctx.options
        with torch.autocast(images.device.type, enabled=False):
            return functional.conv2d(
                images, halved, None, stride, padding, dilation, images.shape[1]
            )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor | None, ...]:
        images, filters = ctx.saved_tensors

        def gradient(which: int, *tensors: Tensor) -> Tensor:
            wanted = [place == which for place in range(3)]
            channels = images.shape[1]
            return _gradients(
                *tensors, None, *ctx.options, False, [0, 0], channels, wanted
            )[which]  # fmt: skip

        of_images = of_filters = None
        if ctx.needs_input_grad[0]:
            of_images = gradient(0, given, images, filters).to(ctx.given)
        if ctx.needs_input_grad[1]:
            of_filters = gradient(1, given.float(), images.float(), filters.float())
        return of_images, of_filters, None, None, None


def _pair(value: int | Sequence[int]) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)
