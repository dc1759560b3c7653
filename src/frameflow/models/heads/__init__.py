"""Heads: what learns. Each takes ``(B, T, D)`` features and a ``(B, T)`` mask, and gives logits."""

from collections.abc import Sequence
from typing import Any

from frameflow.errors import UsageError, near_names
from frameflow.models.heads.attentive_probe import AttentiveProbeHead
from frameflow.models.heads.average import AverageHead
from frameflow.models.heads.base import Head, construct
from frameflow.models.heads.bilstm_attention import BilstmAttentionHead
from frameflow.models.heads.conv1d import Conv1dHead
from frameflow.models.heads.ensemble import EnsembleHead
from frameflow.models.heads.gru import GruHead
from frameflow.models.heads.late_fusion import LateFusionHead
from frameflow.models.heads.lstm import LstmHead
from frameflow.models.heads.max import MaxHead
from frameflow.models.heads.mean import MeanHead
from frameflow.models.heads.mlp_concat import MlpConcatHead
from frameflow.models.heads.rnn import RnnHead
from frameflow.models.heads.self_attention import SelfAttentionHead
from frameflow.models.heads.statistics import StatisticsHead

__all__ = ["Head", "build_head", "head_class", "head_names", "head_options"]

_HEADS: dict[str, type[Head]] = {
    head.name: head
    for head in (
        AttentiveProbeHead,
        AverageHead,
        BilstmAttentionHead,
        Conv1dHead,
        GruHead,
        LateFusionHead,
        LstmHead,
        MaxHead,
        MeanHead,
        MlpConcatHead,
        RnnHead,
        SelfAttentionHead,
        StatisticsHead,
    )
}

_BUILT = {EnsembleHead.name: EnsembleHead}  # put together of trained ones: no recipe asks for them


def head_names() -> list[str]:
    """The heads a recipe can name, sorted."""
    return sorted(_HEADS)


def head_options(name: str) -> dict[str, Any]:
    """The options of a head with their defaults.

    Raises:
        UsageError: unknown head.

    Example:
        >>> head_options("mean")
        {'dropout': 0.2, 'standardise': True, 'centre': False}
    """
    known = head_class(name).known_options({})
    return {option: value for option, value in known.items() if option != "dims"}


def build_head(
    name: str,
    *,
    dim: int,
    frames: int,
    classes: int,
    dims: Sequence[int] | None = None,
    **options: Any,
) -> Head:
    """A head by name.

    Args:
        name: one of `head_names`.
        dim: D, the length of one frame's features.
        frames: T, frames per clip.
        classes: K, the number of labels.
        dims: the length of each stream's features, which lie end to end in D; of account to heads
            that treat the streams apart.
        **options: the head's own, see `head_options`.

    Raises:
        UsageError: unknown head or option, or a value out of range.

    Example:
        >>> import torch
        >>> head = build_head("gru", dim=8, frames=4, classes=3, hidden=16, layers=2)
        >>> head(torch.zeros(2, 4, 8), torch.ones(2, 4, dtype=torch.bool)).shape
        torch.Size([2, 3])
    """
    kind = head_class(name)
    shape: dict[str, Any] = {"dim": dim, "frames": frames, "classes": classes}
    if dims is not None and "dims" in kind.known_options(options):
        shape["dims"] = [int(d) for d in dims]
    return construct(kind, shape | options)


def head_class(name: str) -> type[Head]:
    """What builds the head of a name.

    Raises:
        UsageError: unknown head.
    """
    wanted = name.strip().lower().replace("_", "-")
    if wanted in _BUILT:
        return _BUILT[wanted]
    if wanted not in _HEADS:
        raise UsageError(
            f"No head is named {name!r}.{near_names(wanted, _HEADS)} "
            f"There are {', '.join(head_names())}."
        )
    return _HEADS[wanted]
