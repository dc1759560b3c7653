"""Mean over time, then a linear classifier."""

from typing import Any, ClassVar

from torch import Tensor, nn

from frameflow.models.heads.base import Head, mean_over, zeroed


class MeanHead(Head):
    """The mean of the frames' features, then a linear classifier.

    The classifier being linear, this is also the mean over time of a Dense layer applied to each
    frame ("dense, then average").

    Args:
        dropout: share of the pooled features that is dropped in training.
        **shape: ``dim``, ``frames``, ``classes``, ``standardise``.
    """

    name: ClassVar[str] = "mean"
    summarises: ClassVar[bool] = True
    paper: ClassVar[str] = "Karpathy et al., Large-scale video classification with CNNs, CVPR 2014"

    def __init__(self, *, dropout: float = 0.2, **shape: Any) -> None:
        super().__init__(**shape)
        self._share("dropout", dropout)
        self.dropout = nn.Dropout(dropout)
        self.classifier = zeroed(nn.Linear(self.dim, self.classes))

    def summarise(self, features: Tensor, mask: Tensor) -> Tensor:
        return mean_over(features, mask)

    def decide(self, summary: Tensor) -> Tensor:
        return self.classifier(self.dropout(summary))
