"""Torchvision's video models: its own files give its own outputs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from frameflow.errors import UsageError
from frameflow.models._torchvision_shim import allow_torchvision
from frameflow.models.clips import ClipBackbone, build_clip_backbone
from frameflow.models.clips.backbone import _KNOWN

allow_torchvision()
Clips = Callable[[ClipBackbone], Tensor]

CLASSIFIERS = {
    "test-r2plus1d": ("fc", 512),
    "test-swin3d": ("head", 16),
    "test-mvit": ("head", 64),
}


def with_classifier(name: str) -> Any:
    """The tiny network as torchvision makes it, with a classifier of five classes."""
    family = _KNOWN[name]
    variant = family.variants[name]
    torch.manual_seed(3)
    net: Any = family.create(variant, size=variant.size, frames=variant.frames, options={})
    place, dim = CLASSIFIERS[name]
    layer = nn.Linear(dim, 5)
    setattr(net, place, nn.Sequential(nn.Dropout(0.5), layer) if name == "test-mvit" else layer)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.normal_(module.running_mean, std=0.1)
    return net.eval()


@pytest.mark.parametrize("name", sorted(CLASSIFIERS))
@pytest.mark.parametrize("wrapped", [False, True])
def test_its_files_give_its_outputs(
    name: str, wrapped: bool, tmp_path: Path, clips_for: Clips
) -> None:
    net = with_classifier(name)
    state = net.state_dict()
    torch.save(
        {"state_dict": {f"module.{k}": v for k, v in state.items()}} if wrapped else state,
        tmp_path / "x.pth",
    )
    backbone = build_clip_backbone(name, weights=tmp_path / "x.pth")
    clips = clips_for(backbone)
    expected = net(clips.transpose(1, 2))
    found = getattr(net, CLASSIFIERS[name][0])(backbone(clips)[:, 0])
    torch.testing.assert_close(found, expected)
    assert not any(key.startswith(CLASSIFIERS[name][0]) for key in backbone.model.state_dict())


def test_the_address_of_torchvision_s_own_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3D, whole: the file lies where torch.hub keeps what it downloads."""
    from torchvision.models.video import S3D_Weights, s3d

    torch.manual_seed(4)
    net = s3d().eval()
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    url = S3D_Weights.KINETICS400_V1.url
    torch.save(net.state_dict(), folder / url.rpartition("/")[2])
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    backbone = build_clip_backbone("s3d", frames=16, size=64)
    assert backbone.weights.source == url
    with torch.no_grad():
        clips = torch.randn(1, 16, 3, 64, 64)
        maps = net.features(clips.transpose(1, 2))
        torch.testing.assert_close(backbone(clips)[:, 0], maps.mean(dim=(2, 3, 4)))


def test_s3d_pools_as_published_where_the_maps_are_large_enough() -> None:
    from frameflow.models.clips.torchvision_models import _of_s3d

    class Maps(nn.Module):
        features = nn.Identity()

    maps = torch.randn(1, 4, 8, 8, 9)
    expected = nn.AvgPool3d((2, 7, 7), stride=1)(maps).mean(dim=(2, 3, 4))
    torch.testing.assert_close(_of_s3d(Maps(), maps, False), expected)


@pytest.mark.parametrize("name", ["r2plus1d_18", "mvit_v2_s", "swin3d_t", "s3d"])
def test_the_tensors_are_those_of_the_published_weights(name: str) -> None:
    import torchvision.models as published

    family = _KNOWN[name]
    variant = family.variants[name]
    with torch.device("meta"):
        ours = family.create(variant, size=variant.size, frames=variant.frames, options={})
        theirs = published.get_model(name)
    own = {key: value.shape for key, value in ours.state_dict().items()}
    all_of_them = {key: value.shape for key, value in theirs.state_dict().items()}
    classifier = {"fc", "head", "classifier"}
    assert own == {k: v for k, v in all_of_them.items() if k.split(".")[0] not in classifier}
    weights = next(iter(published.get_model_weights(name)))
    given = weights.transforms()
    assert tuple(given.mean) == variant.mean
    assert tuple(given.std) == variant.std
    assert set(given.crop_size) == {variant.size}
    assert sum(p.numel() for p in theirs.parameters()) == weights.meta["num_params"]


def test_relative_positions_are_interpolated_to_other_clips(
    tmp_path: Path, clips_for: Clips
) -> None:
    net = with_classifier("test-mvit")
    state = net.state_dict()
    tables = [key for key in state if ".rel_pos_" in key]
    for key in tables:
        state[key] = torch.linspace(-1, 1, len(state[key]))[:, None].expand_as(state[key]).clone()
    torch.save(state, tmp_path / "x.pth")
    larger = build_clip_backbone("test-mvit", weights=tmp_path / "x.pth", size=64, frames=8)
    assert larger(clips_for(larger)).shape == (2, 1, 64)
    for key in tables:
        table = larger.model.state_dict()[key]
        if len(table) != len(state[key]) and len(state[key]) > 1:
            assert (table.diff(dim=0) >= 0).all()
            assert -1 <= table.min() < table.max() <= 1


def test_another_file_is_refused(tmp_path: Path) -> None:
    torch.save(with_classifier("test-swin3d").state_dict(), tmp_path / "swin.pth")
    with pytest.raises(
        UsageError, match=r"swin.pth does not hold the weights of test-mvit: \d+ tensors missing"
    ):
        build_clip_backbone("test-mvit", weights=tmp_path / "swin.pth")
    state = with_classifier("test-swin3d").state_dict()
    state["norm.weight"] = torch.zeros(3)
    torch.save(state, tmp_path / "odd.pth")
    with pytest.raises(
        UsageError, match=r"1 tensors of another shape \(norm.weight \(3,\) instead"
    ):
        build_clip_backbone("test-swin3d", weights=tmp_path / "odd.pth")
