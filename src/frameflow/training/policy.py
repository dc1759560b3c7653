"""Which parameters learn, from which epoch, and at what rate."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from frameflow.config import Train, Unfreeze
from frameflow.errors import UsageError, listing
from frameflow.models.backbones import Backbone


class Policy:
    """The settings' ``learn`` applied to the backbones within a module.

    What lies outside the backbones (the head) learns from the start at the full rate. A parameter
    of a backbone learns from the epoch of the earliest rule that names it, at that rule's share of
    the rate times ``layer_decay`` to the power of its distance from the output: 0 for the head, 1
    for the last layer of a backbone, and so on (Clark et al., "ELECTRA", 2020).

    Args:
        module: what is trained.
        backbones: those within it.
        settings: their ``learn``, ``layer_decay``, ``norm`` and ``weight_decay``.

    Attributes:
        groups: parameter groups for an optimiser, of all that will ever learn. Each has a
            ``scale``, the factor on the learning rate. Biases and norms, which have one
            dimension, do not decay.

    Raises:
        UsageError: a part that no backbone has; nothing learns at all.
    """

    def __init__(self, module: nn.Module, backbones: Sequence[Backbone], settings: Train) -> None:
        self.backbones = list({id(backbone): backbone for backbone in backbones}.values())
        self.settings = settings
        # The earliest rule first, so that it decides; in the recipe's order where they are alike.
        self._rules = sorted(settings.learn, key=lambda rule: rule.epoch)
        self._parts = [self._owned(rule) for rule in self._rules]
        scales = self._scales()
        inside = {id(p) for backbone in self.backbones for p in backbone.parameters()}
        groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
        for parameter in module.parameters():
            learns = id(parameter) in scales or (
                id(parameter) not in inside and parameter.requires_grad
            )
            if learns:
                key = (scales.get(id(parameter), 1.0), parameter.ndim > 1)
                groups.setdefault(key, []).append(parameter)
        if not groups:
            raise UsageError("Nothing learns: the head has no parameters, and train.learn is [].")
        # The head's first, then the larger rates; matrices before what does not decay.
        self.groups: list[dict[str, Any]] = [
            {
                "params": groups[scale, decays],
                "scale": scale,
                "weight_decay": settings.weight_decay if decays else 0.0,
            }
            for scale, decays in sorted(groups, reverse=True)
        ]
        self._begun = 0
        for backbone in self.backbones:
            backbone.learn([], norm=settings.norm)

    @property
    def backbones_learn(self) -> bool:
        """Whether any part of a backbone ever does."""
        return bool(self.backbones and self._rules)

    def start(self, epoch: int) -> str | None:
        """Let those parts learn whose epoch has come, counted from 0 over all rounds.

        Returns:
            what begins to learn, in words; None where nothing does.
        """
        begun = sum(rule.epoch <= epoch for rule in self._rules)
        if begun == self._begun:
            return None
        fresh = [part for rule in self._rules[self._begun : begun] for part in rule.parts]
        self._begun = begun
        count = 0
        for place, backbone in enumerate(self.backbones):
            parts = [part for owned in self._parts[:begun] for part in owned[place]]
            learning = set(backbone.learn(parts, norm=self.settings.norm))
            count += sum(
                p.numel() for name, p in backbone.model.named_parameters() if name in learning
            )
        return f"{listing(fresh)} of the backbones ({count / 1e6:.2f} M parameters now)"

    def _owned(self, rule: Unfreeze) -> list[list[str]]:
        """For each backbone the parts of a rule that it has; each part must be in one of them."""
        owned: list[list[str]] = [[] for _ in self.backbones]
        for part in rule.parts:
            faults = []
            for place, backbone in enumerate(self.backbones):
                try:
                    backbone.learn([part])
                except UsageError as error:
                    faults.append(error)
                else:
                    owned[place].append(part)
            if faults and len(faults) == len(self.backbones):
                raise faults[0]
        return owned

    def _scales(self) -> dict[int, float]:
        """The factor on the rate of each parameter of the backbones that will ever learn."""
        scales: dict[int, float] = {}
        decay = self.settings.layer_decay
        for place, backbone in enumerate(self.backbones):
            layers = backbone.layers() if decay < 1 else []
            distance = {name: len(layers) - i for i, names in enumerate(layers) for name in names}
            parameters = dict(backbone.model.named_parameters())
            for rule, owned in zip(self._rules, self._parts):
                for name in backbone.learn(owned[place]):
                    scale = rule.lr * (decay ** distance[name] if distance else 1.0)
                    scales.setdefault(id(parameters[name]), scale)
        return scales
