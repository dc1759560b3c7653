"""Long short-term memory over time."""

from typing import ClassVar

from frameflow.models.heads.recurrent import RecurrentHead


class LstmHead(RecurrentHead):
    """LSTM layers over time, then a linear classifier. Options: see `RecurrentHead`."""

    name: ClassVar[str] = "lstm"
    paper: ClassVar[str] = "Donahue et al., Long-term recurrent convolutional networks, CVPR 2015"
    cell: ClassVar[str] = "lstm"
