"""Weights in torchvision's own key names, for models of timm that compute the same.

Those of ResNet, DenseNet and more are named alike in both. Others are brought over here:
EfficientNet-B0 to B7 and MobileNetV2, VGG, and InceptionV3 with its auxiliary classifier.
"""

import re
from collections.abc import Mapping

from torch import Tensor, nn

from frameflow.models._states import State, in_order

# Where torchvision's normalisation layers add another constant to the variance than timm's.
_EPSILON = {"efficientnet_b5": 1e-3, "efficientnet_b6": 1e-3, "efficientnet_b7": 1e-3}


def from_torchvision(name: str, given: Mapping[str, Tensor], model: nn.Module) -> State | None:
    """The tensors under timm's names, or None where they are not torchvision's of this model.

    Args:
        name: timm's of the model.
        given: the file's tensors.
        model: timm's, whose tensors have to be filled.
    """
    target = model.state_dict()
    family = name.partition(".")[0]
    if family.startswith("vgg"):
        return _vgg(given, target)
    if family == "inception_v3":
        return _without(given, "AuxLogits.", "fc.")
    # Models whose names start with tf_ pad another way, so the same values compute another thing.
    if re.fullmatch(r"efficientnet_b[0-7]|mobilenetv2_100", family):
        return _efficientnet(given, model, epsilon=_EPSILON.get(family, 1e-5))
    return None


def names_instead(name: str, given: Mapping[str, Tensor]) -> str:
    """What to name instead, as a sentence, where torchvision's file is of a model's twin."""
    architecture = name.partition(".")[0]
    twin = architecture.removeprefix("tf_")
    if "features.0.0.weight" in given and re.fullmatch(r"tf_efficientnet_b[0-7]", architecture):
        return f" Its names are torchvision's, which pads as {twin} does: name {twin}."
    return ""


def _vgg(given: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> State | None:
    """Fully connected layers, which timm holds as convolutions over all places."""
    state: State = {}
    for key, value in _without(given, "classifier.6.").items():
        own = key.replace("classifier.0.", "pre_logits.fc1.")
        own = own.replace("classifier.3.", "pre_logits.fc2.")
        slot = target.get(own)
        if slot is None or slot.numel() != value.numel():
            return None
        state[own] = value.reshape(slot.shape) if own.startswith("pre_logits.") else value
    return state


def _efficientnet(given: Mapping[str, Tensor], model: nn.Module, *, epsilon: float) -> State | None:
    """The same layers in the same order under other names."""
    state = in_order(_without(given, "classifier."), model.state_dict())
    if state is None:
        return None
    norms = ((n, m) for n, m in model.named_modules() if isinstance(m, nn.BatchNorm2d))
    for name, norm in norms:
        # 1 / sqrt(variance + epsilon) stays what it was.
        key = f"{name}.running_var"
        state[key] = state[key] + (epsilon - norm.eps)
    return state


def _without(given: Mapping[str, Tensor], *prefixes: str) -> State:
    return {key: value for key, value in given.items() if not key.startswith(prefixes)}
