"""Maximum over time, then a linear classifier."""

from typing import Any, ClassVar

from torch import Tensor, nn

from frameflow.models.heads.base import Head, max_over, zeroed


class MaxHead(Head):
    """The largest value of each feature over time, then a linear classifier.

    Args:
        dropout: share of the pooled features that is dropped in training.
        **shape: ``dim``, ``frames``, ``classes``, ``standardise``.
    """

    name: ClassVar[str] = "max"
    summarises: ClassVar[bool] = True
    paper: ClassVar[str] = "Ng et al., Beyond short snippets (conv pooling), CVPR 2015"

    def __init__(self, *, dropout: float = 0.2, **shape: Any) -> None:
        super().__init__(**shape)
        self._share("dropout", dropout)
        self.dropout = nn.Dropout(dropout)
        self.classifier = zeroed(nn.Linear(self.dim, self.classes))

    def summarise(self, features: Tensor, mask: Tensor) -> Tensor:
        return max_over(features, mask)

    def decide(self, summary: Tensor) -> Tensor:
        return self.classifier(self.dropout(summary))
