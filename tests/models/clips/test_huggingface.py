"""Video models of transformers: folders and files in its own format and key names."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from frameflow.errors import UsageError
from frameflow.models import _hub
from frameflow.models._torchvision_shim import allow_torchvision
from frameflow.models.clips import ClipBackbone, build_clip_backbone

allow_torchvision()
transformers: Any = pytest.importorskip(
    "transformers", reason="the extra transformers is not installed"
)
Clips = Callable[[ClipBackbone], Tensor]

TINY = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "image_size": 32,
    "num_frames": 4,
    "num_labels": 5,
}
JEPA = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "pred_hidden_size": 24,
    "pred_num_attention_heads": 2,
    "pred_num_hidden_layers": 1,
    "num_pooler_layers": 1,
    "crop_size": 32,
    "frames_per_clip": 4,
    "num_labels": 5,
}
CLASSES = {
    "test-videomae": ("VideoMAEConfig", "VideoMAEForVideoClassification"),
    "test-timesformer": ("TimesformerConfig", "TimesformerForVideoClassification"),
    "test-vivit": ("VivitConfig", "VivitForVideoClassification"),
    "test-vjepa2": ("VJEPA2Config", "VJEPA2ForVideoClassification"),
}


def made(name: str, **changes: Any) -> Any:
    """A tiny classifier of five classes, its parameters all random."""
    config, model = CLASSES[name]
    torch.manual_seed(5)
    net = getattr(transformers, model)(
        getattr(transformers, config)(**((JEPA if "jepa" in name else TINY) | changes))
    )
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return net.eval()


@pytest.fixture(params=sorted(CLASSES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def logits(net: Any, backbone: ClipBackbone, clips: Tensor) -> tuple[Tensor, Tensor]:
    """Those of the classifier, and those it gives for our features."""
    if "VJEPA2" in type(net).__name__:
        tokens = net.vjepa2.encoder(clips).last_hidden_state
        return net.classifier(tokens.mean(1)), net.classifier(backbone(clips)[:, 0])
    return net(clips).logits, net.classifier(backbone(clips)[:, 0])


@pytest.mark.parametrize("what", ["folder", "file", "shards"])
def test_its_files_give_its_outputs(name: str, what: str, tmp_path: Path, clips_for: Clips) -> None:
    net = made(name)
    net.save_pretrained(tmp_path / "saved", max_shard_size="40KB" if what == "shards" else "1GB")
    assert (tmp_path / "saved" / "model.safetensors").exists() == (what != "shards")
    weights = tmp_path / "saved" / ("model.safetensors" if what == "file" else "")
    backbone = build_clip_backbone(name, weights=weights)
    with torch.no_grad():
        expected, found = logits(net, backbone, clips_for(backbone))
    torch.testing.assert_close(found, expected)
    assert backbone.weights.source == (
        "file model.safetensors" if what == "file" else "folder saved"
    )


def test_the_key_names_are_the_published_ones(tmp_path: Path) -> None:
    """What is loaded above is named as on the hub, whatever transformers calls it inside."""
    made("test-videomae").save_pretrained(tmp_path / "mae")
    made("test-vivit").save_pretrained(tmp_path / "vivit")
    mae = load_file(tmp_path / "mae" / "model.safetensors")
    assert "videomae.encoder.layer.0.attention.attention.q_bias" in mae
    assert "fc_norm.weight" in mae
    vivit = load_file(tmp_path / "vivit" / "model.safetensors")
    assert "vivit.encoder.layer.1.attention.attention.query.weight" in vivit


def test_half_precision_files_are_widened(tmp_path: Path) -> None:
    made("test-vjepa2").half().save_pretrained(tmp_path)
    backbone = build_clip_backbone("test-vjepa2", weights=tmp_path)
    assert {p.dtype for p in backbone.parameters()} == {torch.float32}


def test_videomae_from_before_fine_tuning(tmp_path: Path, clips_for: Clips) -> None:
    """Its tokens are normalised each, there is a decoder, and no classifier."""
    config = transformers.VideoMAEConfig(
        **TINY, use_mean_pooling=False, decoder_num_hidden_layers=1, decoder_hidden_size=24
    )
    net = transformers.VideoMAEForPreTraining(config).eval()
    net.save_pretrained(tmp_path)
    for weights in (tmp_path, tmp_path / "model.safetensors"):
        backbone = build_clip_backbone("test-videomae", weights=weights)
        assert backbone.options == {"use_mean_pooling": False}
        with torch.no_grad():
            tokens = net.videomae(clips_for(backbone)).last_hidden_state
            torch.testing.assert_close(backbone(clips_for(backbone))[:, 0], tokens.mean(1))
        described = json.loads(json.dumps(backbone.describe()))
        assert described["options"] == {"use_mean_pooling": False}


@pytest.mark.parametrize("name", ["test-timesformer", "test-vivit"])
def test_positions_are_interpolated_to_other_clips(
    name: str, tmp_path: Path, clips_for: Clips
) -> None:
    net = made(name)
    key = f"{name[5:]}.embeddings.position_embeddings"
    state = {k: v.contiguous() for k, v in net.state_dict().items()}
    slope = torch.linspace(-1, 1, state[key].shape[1] - 1)
    state[key][0, 1:] = slope[:, None]
    net.load_state_dict(state)
    net.save_pretrained(tmp_path)
    larger = build_clip_backbone(name, weights=tmp_path, size=64, frames=8)
    assert larger(clips_for(larger)).shape == (2, 1, 24)
    table = larger.model.get_parameter("embeddings.position_embeddings")[0]
    torch.testing.assert_close(table[0], state[key][0, 0])  # the class token has one place
    assert table.shape[0] == 1 + (16 if name == "test-timesformer" else 4 * 16)
    assert table[1].mean() < table[-1].mean()
    assert table[1:].mean().abs() < 1e-5
    if name == "test-timesformer":
        times = larger.model.get_parameter("embeddings.time_embeddings")
        given = state["timesformer.embeddings.time_embeddings"]
        assert times.shape == (1, 8, 24)
        torch.testing.assert_close(times.mean(1), given.mean(1), atol=1e-5, rtol=1e-4)


def test_a_repository_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clips_for: Clips
) -> None:
    import huggingface_hub

    made("test-vivit").save_pretrained(tmp_path)
    asked = []

    def cached(repository: str, file: str, revision: str | None = None) -> str | None:
        asked.append((repository, file, revision))
        return str(tmp_path / file) if (tmp_path / file).exists() else None

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", cached)
    backbone = build_clip_backbone("test-vivit", weights="someone/their-vivit")
    assert backbone.weights.source == "hub someone/their-vivit"
    assert asked[0] == ("someone/their-vivit", "model.safetensors", None)
    assert backbone(clips_for(backbone)).shape == (2, 1, 24)
    monkeypatch.setattr(_hub, "_reachable", lambda *_: False)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: None)
    with pytest.raises(UsageError, match=r"not on disk and huggingface\.co cannot be reached"):
        build_clip_backbone("test-vivit", weights="someone/their-vivit")


def test_other_folders_are_refused(tmp_path: Path) -> None:
    made("test-vivit").save_pretrained(tmp_path / "vivit")
    with pytest.raises(
        UsageError, match=r"of type 'vivit', but test-videomae is of type 'videomae'"
    ):
        build_clip_backbone("test-videomae", weights=tmp_path / "vivit")
    with pytest.raises(UsageError, match=r"another size .* hidden_size 24 instead of 768"):
        build_clip_backbone("vivit-base", weights=tmp_path / "vivit")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"empty holds no model of transformers: config.json"):
        build_clip_backbone("test-vivit", weights=tmp_path / "empty")
    (tmp_path / "vivit" / "model.safetensors").unlink()
    with pytest.raises(UsageError, match=r"holds no weights of test-vivit: model.safetensors or"):
        build_clip_backbone("test-vivit", weights=tmp_path / "vivit")


def test_missing_and_strange_tensors_are_named(tmp_path: Path) -> None:
    made("test-timesformer").save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    state = load_file(path)
    state.pop("timesformer.encoder.layer.1.temporal_dense.weight")
    state["timesformer.extra.weight"] = torch.zeros(2)
    save_file(state, path)
    with pytest.raises(
        UsageError,
        match=r"1 tensors missing \(encoder.layer.1.temporal_dense.weight\); 1 tensors un",
    ):
        build_clip_backbone("test-timesformer", weights=tmp_path)
    state = load_file(path)
    state.pop("timesformer.extra.weight")
    state["timesformer.encoder.layer.1.temporal_dense.weight"] = torch.zeros(3, 3)
    save_file(state, path)
    with pytest.raises(
        UsageError, match=r"1 tensors of another shape \(encoder.layer.1.temporal_d"
    ):
        build_clip_backbone("test-timesformer", weights=path)


def test_loading_leaves_the_random_state_and_the_log_alone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    made("test-videomae").save_pretrained(tmp_path)
    capfd.readouterr()
    before = torch.random.get_rng_state()
    level = transformers.utils.logging.get_verbosity()
    build_clip_backbone("test-videomae", weights=tmp_path)
    assert torch.equal(before, torch.random.get_rng_state())
    assert transformers.utils.logging.get_verbosity() == level
    printed = capfd.readouterr()
    assert printed.out + printed.err == ""
