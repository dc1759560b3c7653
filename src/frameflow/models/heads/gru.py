"""Gated recurrent units over time."""

from typing import ClassVar

from frameflow.models.heads.recurrent import RecurrentHead


class GruHead(RecurrentHead):
    """GRU layers over time, then a linear classifier. Options: see `RecurrentHead`."""

    name: ClassVar[str] = "gru"
    paper: ClassVar[str] = "Cho et al., Learning phrase representations using RNN, EMNLP 2014"
    cell: ClassVar[str] = "gru"
