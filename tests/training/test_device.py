"""Precision, layout, and the messages of a full memory and a failing compiler."""

from types import SimpleNamespace

import pytest
import torch
from tiny_clips import EVERYTHING, TinyVideos, fit_tiny, tiny_module
from torch import nn

from frameflow.config import Train
from frameflow.errors import FrameFlowError, UsageError
from frameflow.training import _device
from frameflow.training._device import Precision, arrange, bfloat16_pays, training_device
from frameflow.training._learner import Learner

CPU = torch.device("cpu")


def depthwise() -> nn.Module:
    return nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 8, 1))


@pytest.mark.parametrize("able", [True, False])
def test_auto_is_what_the_processor_computes_faster(
    monkeypatch: pytest.MonkeyPatch, able: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: able)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert Precision("auto", CPU, tiny_module()).dtype == (torch.bfloat16 if able else None)
    assert Precision("auto", CPU, depthwise()).dtype is None
    assert Precision("bfloat16", CPU, depthwise()).dtype == torch.bfloat16


def test_autocast_computes_in_the_precision() -> None:
    layer, x = nn.Linear(3, 2), torch.ones(1, 3)
    for wanted, dtype in (("bfloat16", torch.bfloat16), ("float32", torch.float32)):
        with Precision(wanted, CPU, layer).autocast():
            assert layer(x).dtype == dtype


def test_float16_needs_a_gpu() -> None:
    with pytest.raises(UsageError, match="needs a GPU; on a CPU choose bfloat16"):
        Precision("float16", CPU, tiny_module())


def test_heads_alone_learn_in_float32() -> None:
    module = nn.Linear(3, 2)
    learner = Learner(module, Train(precision="bfloat16"), nn.functional.cross_entropy)
    assert learner.precision.dtype is None


def test_a_training_in_bfloat16_comes_near_to_one_in_float32() -> None:
    losses = {}
    for precision in ("float32", "bfloat16"):
        settings = EVERYTHING.model_copy(update={"precision": precision, "epochs": 6, "ema": None})
        fitted = fit_tiny(tiny_module(), TinyVideos(48), None, settings=settings)
        losses[precision] = [row.val_loss for row in fitted.history]
    assert losses["bfloat16"] != losses["float32"]
    assert min(losses["bfloat16"]) == pytest.approx(min(losses["float32"]), rel=0.1)


def test_weights_of_images_are_arranged_and_put_back() -> None:
    module = tiny_module()
    weight = module.backbone.model[4].weight
    before = weight.detach().clone()
    arrange(module, torch.channels_last)
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(weight, before)
    fit_tiny(module, TinyVideos(), None)
    assert all(value.is_contiguous() for value in module.state_dict().values())


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        MemoryError(),
    ],
)
def test_a_full_memory_says_what_to_lower(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tiny_module()

    def forward(*_: object) -> torch.Tensor:
        raise error

    monkeypatch.setattr(module, "forward", forward)
    with pytest.raises(FrameFlowError) as told:
        fit_tiny(module, TinyVideos(), None)
    for name in ("train.batch_size (4", "accumulate", "sampling.frames", "streams.0.size"):
        assert name in str(told.value)


def test_other_errors_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    module = tiny_module()

    def forward(*_: object) -> torch.Tensor:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(module, "forward", forward)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        fit_tiny(module, TinyVideos(), None)


def test_several_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(UsageError, match="4 processes were started"):
        training_device()


def test_compiled_it_keeps_the_names_and_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler that changes nothing: its module has other names, as that of PyTorch has."""
    compiled = []

    class Compiled(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self._orig_mod = inner
            compiled.append(self)

        def forward(self, *inputs: object) -> torch.Tensor:
            return self._orig_mod(*inputs)

    monkeypatch.setattr(torch, "compile", Compiled)
    modules = tiny_module(), tiny_module()
    fit_tiny(modules[0], TinyVideos(), None)
    fit_tiny(
        modules[1], TinyVideos(), None, settings=EVERYTHING.model_copy(update={"compile": True})
    )
    assert len(compiled) == 1
    states = [module.state_dict() for module in modules]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_compiler_that_fails_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Exception):
        pass

    Broken.__module__ = "torch._inductor.exc"

    def compile_(_: nn.Module) -> object:
        def forward(*_: object) -> torch.Tensor:
            raise Broken("no C++ compiler")

        return forward

    monkeypatch.setattr(torch, "compile", compile_)
    with pytest.raises(UsageError, match=r"does not work here \(Broken: no C\+\+ compiler\)"):
        fit_tiny(
            tiny_module(),
            TinyVideos(),
            None,
            settings=EVERYTHING.model_copy(update={"compile": True}),
        )


def test_gpus_of_old_do_not_compute_it(monkeypatch: pytest.MonkeyPatch) -> None:
    module = tiny_module()
    asked = SimpleNamespace(is_bf16_supported=lambda including_emulation: including_emulation)
    monkeypatch.setattr(_device.torch, "cuda", asked)
    assert not bfloat16_pays(torch.device("cuda"), module)
