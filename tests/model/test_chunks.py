"""Work in chunks gives what work on the whole gives."""

from dataclasses import replace

import pytest
import torch
from small_models import random_frames, right_and_bottom_mask, small_config, small_model
from torch import Tensor

from mssts.model import chunks
from mssts.model.chunks import in_chunks
from mssts.model.precision import computing_in
from mssts.types import Prediction


@pytest.mark.parametrize(("dim", "length", "size"), [(0, 10, 3), (1, 7, 7), (1, 8, 1), (2, 5, 100)])
def test_chunks_equal_the_whole(dim: int, length: int, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK", 2 * size)
    shape = [2, 3, 4]
    shape[dim] = length
    x, y = torch.randn(shape), torch.randn(shape)
    lengths = []

    def function(a: Tensor, b: Tensor) -> Tensor:
        lengths.append(a.shape[dim])
        return a * 2 + b.cumsum((dim + 1) % 3)

    with torch.no_grad():
        output = in_chunks(function, x, y, dim=dim, tokens=2)
    assert max(lengths) <= size
    assert sum(lengths) == length
    assert torch.equal(output, function(x, y))


def test_with_gradients_the_function_is_called_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK", 3)
    x = torch.randn(10, 2, requires_grad=True)
    calls = []

    def function(a: Tensor) -> Tensor:
        calls.append(len(a))
        return a.square()

    in_chunks(function, x, dim=0).sum().backward()
    assert calls == [10]
    assert x.grad is not None
    torch.testing.assert_close(x.grad, 2 * x.detach())


def test_chunks_are_put_where_the_caller_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK", 3)
    x = torch.randn(7, 2)
    place = torch.empty(2, 7, dtype=torch.float64)
    with torch.no_grad():
        output = in_chunks(torch.square, x, dim=0, make_output=lambda: place.T)
    assert output.data_ptr() == place.data_ptr()
    assert torch.equal(output, x.square().double())


def test_under_vmap_the_function_is_called_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK", 3)
    x, factors = torch.randn(7, 2), torch.randn(4)
    with torch.no_grad():
        output = torch.vmap(lambda factor: in_chunks(lambda a: a * factor, x, dim=0))(factors)
    assert torch.equal(output, x * factors[:, None, None])


def numbers(prediction: Prediction) -> list[Tensor]:
    return [
        prediction.class_logits,
        prediction.boxes_cxcywh,
        prediction.mask_kernels,
        prediction.mask_features,
        *prediction.memory,
    ]


@pytest.mark.parametrize("variant", ["", "baseline-"])
@pytest.mark.parametrize("padded", [False, True])
def test_a_model_in_chunks_is_the_model(variant: str, padded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With gradients nothing is chunked; float64 shows any difference. Each level and frame is cut somewhere."""
    model = small_model(replace(small_config(variant), freeze_batch_norm=True)).double()
    frames = random_frames(2, 3, 64, 96).double()
    mask = right_and_bottom_mask([(64, 70), (40, 96)], 64, 96) if padded else None
    whole = numbers(model(frames, mask))
    for chunk in (4, 50, 100):  # 4: less than a token of each of the 6 frames
        monkeypatch.setattr(chunks, "CHUNK", chunk)
        with torch.no_grad():
            parts = numbers(model(frames, mask))
        for ours, expected in zip(parts, whole, strict=True):
            torch.testing.assert_close(ours, expected, atol=1e-10, rtol=1e-10)


@torch.no_grad()
def test_a_float32_model_in_chunks_takes_the_kernels_and_is_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    model, frames = small_model(), random_frames(1, 3, 64, 96)
    whole = numbers(model(frames))
    monkeypatch.setattr(chunks, "CHUNK", 50)
    for ours, expected in zip(numbers(model(frames)), whole, strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_places_stay_float32_under_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values too where they are chunked, for that is what the kernels read."""
    model, frames = small_model(), random_frames(1, 3, 64, 96)
    monkeypatch.setattr(chunks, "CHUNK", 50)
    seen = []
    model.encoder.layers[0].sampling.value_proj.register_forward_hook(lambda *args: seen.append(args[-1].dtype))
    with computing_in("bf16", torch.device("cpu")):
        memory = model.encode(frames)
        prediction = model.decode(memory)
    assert memory.tokens.dtype == torch.bfloat16
    assert memory.valid_ratios.dtype == torch.float32
    assert prediction.boxes_cxcywh.dtype == prediction.reference_points.dtype == torch.float32
    assert seen == [torch.float32]


@torch.no_grad()
def test_a_model_wholly_in_bfloat16_runs_in_chunks_too(monkeypatch: pytest.MonkeyPatch) -> None:
    model, frames = small_model(small_config("baseline-")).bfloat16(), random_frames(1, 3, 64, 96).bfloat16()
    whole = model(frames).class_logits
    monkeypatch.setattr(chunks, "CHUNK", 50)
    torch.testing.assert_close(model(frames).class_logits, whole, atol=0.1, rtol=0.1)
