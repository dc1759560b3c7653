"""Simple recurrent layers over time."""

from typing import ClassVar

from frameflow.models.heads.recurrent import RecurrentHead


class RnnHead(RecurrentHead):
    """Simple (tanh) recurrent layers, then a linear classifier. Options: see `RecurrentHead`."""

    name: ClassVar[str] = "rnn"
    paper: ClassVar[str] = "Elman, Finding structure in time, Cognitive Science 1990"
    cell: ClassVar[str] = "rnn"
