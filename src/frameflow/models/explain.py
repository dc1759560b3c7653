"""Where a recognizer sees what speaks for a label: evidence at each place of a clip's frames.

What a place speaks is the product of its activations at the backbone's last spatial layer with the
gradient of the label's log odds there, summed over the channels: HiResCAM (Draelos and Carin, "Use
HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural networks", 2020,
https://arxiv.org/abs/2011.08891). Grad-CAM (Selvaraju et al., ICCV 2017) averages the gradient
over the places first, which is wrong wherever places do not weigh alike, as in the parts of a
grid. Where all that follows the layer is linear, HiResCAM's evidence adds up to the score but for
a constant.

Two things are added for time. A head that reads the order of frames is far from linear: where its
cells saturate, the gradient tells little. So it is averaged over the way from a still clip, whose
every frame is the mean of the clip, to the clip itself (integrated gradients: Sundararajan, Taly
and Yan, ICML 2017). And a head that reads how features change weighs some frames positively and
others negatively, so whatever stands still would speak for the label here and against it there, to
no effect. With the gradient ``g`` and the activations ``a`` of a place over time and their means
``G`` and ``A``, the evidence is

    G a(t) + (g(t) - G) (a(t) - A)    instead of    g(t) a(t)

which adds up to the same over the clip, and is zero where only change counts and nothing changes.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from frameflow.errors import UsageError
from frameflow.models._last_maps import LastMaps, last_maps_of
from frameflow.models.backbones import Backbone, normalise
from frameflow.models.recognizer import Recognizer

_STEPS = 16  # on the way from the still clip


class Look:
    """One look of a recognizer at one clip, to be asked what it saw.

    Args:
        recognizer: in evaluation mode.
        images: for each stream what its backbone looks at, ``(T, H, W, 3)`` uint8.
        mask: ``(T,)`` bool, False for frames that are padding; or one for each stream.

    Attributes:
        features: ``(1, S, dim)`` float32, as `Recognizer.logits` takes them.
        mask: ``(1, S)`` bool.

    Raises:
        UsageError: the features of a backbone cannot be traced to places.

    Example:
        >>> look = Look(recognizer, [frames], mask)  # doctest: +SKIP
        >>> look.evidence(recognizer.labels.index("serve"))[0].shape  # doctest: +SKIP
        (16, 7, 7)
    """

    def __init__(
        self,
        recognizer: Recognizer,
        images: Sequence[np.ndarray],
        mask: np.ndarray | Sequence[np.ndarray],
    ) -> None:
        if len(images) != len(recognizer.backbones()):
            raise UsageError(f"{len(images)} inputs for {len(recognizer.backbones())} streams.")
        self.recognizer = recognizer
        masks = [mask] * len(images) if isinstance(mask, np.ndarray) else mask
        self._apart = any(stream.sampling is not None for stream in recognizer.recipe.streams)
        if not self._apart:
            masks = [np.logical_and.reduce(masks)] * len(images)
        self.frames = len(masks[0])
        self._seen = [torch.from_numpy(np.ascontiguousarray(own, dtype=bool)) for own in masks]
        self._last = [_last(*pair) for pair in zip(recognizer.backbones(), images)]
        self._maps = [last.maps.requires_grad_() for last in self._last]
        with torch.enable_grad():
            parts = [last.finish(maps) for last, maps in zip(self._last, self._maps)]
            self._features = self._joined(parts)
        self.features = self._features.detach()
        self._framewise = any(backbone.framewise for backbone in recognizer.backbones())
        seen = (
            self._seen[0]
            if self._framewise and not self._apart
            else torch.ones(self.features.shape[1], dtype=torch.bool)
        )
        self.mask = seen.unsqueeze(0).to(self.features.device)

    def _joined(self, parts: Sequence[Tensor]) -> Tensor:
        """``(1, S, dim)``: the features of all streams, as `ClipEncoder.joined` has them."""
        if not self._apart:
            return torch.cat(list(parts), dim=-1)
        most = max(part.shape[1] for part in parts)
        found = []
        for backbone, part, seen in zip(self.recognizer.backbones(), parts, self._seen):
            if backbone.framewise:
                part = part.masked_fill(~seen.to(part.device).view(1, -1, 1), torch.nan)
            more = (0, 0, 0, most - part.shape[1])
            found.append(torch.nn.functional.pad(part, more, value=torch.nan))
        return torch.cat(found, dim=-1)

    def evidence(self, label: int) -> list[np.ndarray]:
        """How much each place speaks for a label, and against it where below zero.

        Args:
            label: its place among the recognizer's labels.

        Returns:
            For each stream ``(T, h, w)`` float32, in units of the label's log odds against all
            other labels; zero in frames that are padding.
        """
        outer = self._gradient(label)
        gradients = torch.autograd.grad(
            self._features, self._maps, grad_outputs=outer, retain_graph=True
        )
        found = []
        streams = zip(self.recognizer.backbones(), self._maps, gradients, self._seen)
        for backbone, maps, gradient, seen in streams:
            visible = seen.to(maps.device) if backbone.framewise else None
            spoken = spoken_by(maps.detach(), gradient, visible)
            found.append(_over_frames(spoken, len(seen)).cpu().numpy())
        return found

    def _gradient(self, label: int) -> Tensor:
        """``(1, S, dim)`` of the log odds by the features, the mean over the way to them."""
        way = self.features
        if self._framewise:
            there = ~way.isnan()
            seen = self.mask.unsqueeze(-1) & there
            clip = way.where(seen, 0.0)
            still = clip.sum(dim=1, keepdim=True) / seen.sum(dim=1, keepdim=True).clamp(min=1)
            steps = (torch.arange(_STEPS, device=way.device) + 0.5).view(-1, 1, 1) / _STEPS
            way = (still + steps * (clip - still)).where(there, torch.nan)
        way = way.detach().requires_grad_()
        # The library for recurrent layers on GPUs has no gradients in evaluation mode.
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            logits = self.recognizer.logits(way, self.mask.expand(len(way), -1))
            odds = log_odds(logits, label, multilabel=self.recognizer.recipe.multilabel)
            (gradient,) = torch.autograd.grad(odds.sum(), way)
        return gradient.mean(dim=0, keepdim=True)

    @torch.no_grad()
    def attention(self) -> np.ndarray | None:
        """``(T,)`` float32: how much the head looks at each frame, together 1.

        None where the head has no attention, or there is but one feature for the whole clip.
        """
        weights = self.recognizer.head.attention_weights(self.features, self.mask)
        if weights is None or weights.shape[1] == 1 < self.frames:
            return None
        last = self._last[0]
        if last.prefix is not None:
            shape = (last.maps.shape[0], -1)
            weights = _over_frames(weights[0, last.prefix :].reshape(shape).sum(1), self.frames)
        over_time = weights.flatten()
        return (over_time / over_time.sum().clamp(min=1e-12)).cpu().numpy()


def log_odds(logits: Tensor, label: int, *, multilabel: bool = False) -> Tensor:
    """``(B,)`` log odds of a label against all others, of ``(B, K)`` logits.

    A logit alone says nothing: the same may be added to all of them.
    """
    if multilabel or logits.shape[1] == 1:
        return logits[:, label]
    others = torch.cat([logits[:, :label], logits[:, label + 1 :]], dim=1)
    return logits[:, label] - others.logsumexp(dim=1)


def spoken_by(maps: Tensor, gradient: Tensor, visible: Tensor | None) -> Tensor:
    """``(t, h, w)`` evidence of ``(t, C, h, w)`` activations and their gradient; see the module.

    Args:
        maps: the activations.
        gradient: of the score by them.
        visible: ``(t,)`` bool, the frames that count; all where None.
    """
    count: float | Tensor = float(len(maps))
    if visible is not None:
        seen = visible.view(-1, 1, 1, 1)
        # What a hidden frame holds counts for nothing, not even in the means.
        maps, gradient = maps.where(seen, 0.0), gradient.where(seen, 0.0)
        count = visible.sum().clamp(min=1)
    steady, usual = gradient.sum(0) / count, maps.sum(0) / count
    spoken = (steady * maps + (gradient - steady) * (maps - usual)).sum(dim=1)
    return spoken if visible is None else spoken.where(visible.view(-1, 1, 1), 0.0)


def _last(backbone: Backbone, images: np.ndarray) -> LastMaps:
    device = next(backbone.parameters()).device
    pixels = torch.from_numpy(np.ascontiguousarray(images)).to(device)
    return last_maps_of(backbone, normalise(pixels, backbone.preprocess))


def _over_frames(slices: Tensor, frames: int) -> Tensor:
    """``(t, ...)`` of a clip's parts to ``(T, ...)`` of its frames, which share what a part has."""
    which = torch.arange(frames, device=slices.device) * len(slices) // frames
    shared = torch.bincount(which, minlength=len(slices)).clamp(min=1)
    return (slices / shared.view(-1, *[1] * (slices.ndim - 1)))[which]
