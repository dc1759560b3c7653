"""Files in torchvision's own key names, from models of torchvision with random values."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from frameflow.errors import UsageError
from frameflow.models.backbones import build_backbone
from frameflow.models.weights import create_model, import_timm, resolve

SIZES = {"inception_v3": 96}


def torchvisions(name: str) -> nn.Module:
    """With every value random, also the statistics of its normalisation layers."""
    import_timm()  # makes torchvision importable
    from torchvision import models

    torch.manual_seed(0)
    options = {"init_weights": False} if name == "inception_v3" else {}
    model: nn.Module = getattr(models, name)(weights=None, **options).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_var is not None:
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.bias, std=0.1)
            module.running_mean = torch.randn_like(module.running_var) * 0.1
            module.running_var = torch.rand_like(module.running_var) * 0.5 + 0.01
    return model


def features_of(model: nn.Module, frames: Tensor) -> Tensor:
    """What goes into torchvision's last classifier."""
    setattr(model, "fc" if hasattr(model, "fc") else "classifier", nn.Identity())
    with torch.no_grad():
        return model.eval()(frames)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "inception_v3", "efficientnet_b0"])
def test_a_backbone_computes_what_torchvisions_does(name: str, tmp_path: Path) -> None:
    theirs = torchvisions(name)
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    size = SIZES.get(name, 64)
    backbone = build_backbone(name, weights=tmp_path / "theirs.pth", size=size)
    assert backbone.weights.source == "file theirs.pth"
    frames = torch.rand(2, 3, size, size)
    with torch.no_grad():
        ours = backbone(frames)
    expected = features_of(theirs, frames)
    assert expected.std() > 1e-3
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("family", ["vgg11", "mobilenetv2_100", "efficientnet_b5"])
def test_tensors_go_to_their_places(family: str) -> None:
    """Large models are not built: small ones of the same names and order stand for them."""
    from frameflow.models._torchvision_names import from_torchvision

    norm = nn.BatchNorm2d(4)
    small = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), norm)
    state = {
        f"x.{key}": torch.rand_like(value.float()) for key, value in small.state_dict().items()
    }
    if family == "vgg11":
        model = nn.Module()
        model.pre_logits = nn.Module()
        model.pre_logits.fc1 = nn.Conv2d(2, 5, 7)
        weight = torch.rand(5, 98)
        given = {"classifier.0.weight": weight, "classifier.0.bias": torch.rand(5)}
        found = from_torchvision(family, given | {"classifier.6.bias": torch.rand(9)}, model)
        assert found is not None
        assert torch.equal(found["pre_logits.fc1.weight"], weight.reshape(5, 2, 7, 7))
        assert len(found) == 2
        assert from_torchvision(family, {"classifier.0.weight": torch.rand(5, 97)}, model) is None
        return
    found = from_torchvision(family, state, small)
    assert found is not None
    assert torch.equal(found["0.weight"], state["x.0.weight"])
    epsilon = 1e-3 if family == "efficientnet_b5" else 1e-5
    torch.testing.assert_close(
        found["1.running_var"] + norm.eps, state["x.1.running_var"] + epsilon
    )
    assert from_torchvision(f"tf_{family}", state, small) is None


def test_a_twin_that_pads_another_way_is_refused_by_name(tmp_path: Path) -> None:
    torch.save(torchvisions("efficientnet_b0").state_dict(), tmp_path / "theirs.pth")
    with pytest.raises(UsageError, match=r"names are torchvision's.*name efficientnet_b0\."):
        resolve("tf_efficientnet_b0", tmp_path / "theirs.pth")


@pytest.mark.parametrize(
    ("made", "named"),
    [
        ("resnet18", "resnet34"),
        ("resnet34", "resnet18"),
        ("resnet18", "efficientnet_b0"),
        ("resnet18", "inception_v3"),
    ],
)
def test_a_file_of_another_architecture_is_one_clear_error(
    made: str, named: str, tmp_path: Path
) -> None:
    torch.save(create_model(made).state_dict(), tmp_path / "w.pth")
    with pytest.raises(UsageError, match=f"does not hold the weights of {named}: ") as caught:
        resolve(named, tmp_path / "w.pth")
    assert len(str(caught.value)) < 600
    assert "\n" not in str(caught.value)
