"""The fast form of attention against softmax written out in float64, and when it is taken."""

import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from mssts.model import attention
from mssts.model.attention import attend, attention_form

kernels = attention._kernels()
needs_kernel = pytest.mark.skipif(kernels is None, reason="this processor has no AVX-512, or Numba is not installed")


def random_inputs(sizes: tuple[int, int, int, int, int], scale: float) -> tuple[Tensor, Tensor, Tensor]:
    groups, queries, keys, heads, depth = sizes
    generator = torch.Generator().manual_seed(0)
    shapes = [(groups, length, heads, depth) for length in (queries, keys, keys)]
    query, key, value = (torch.randn(shape, generator=generator) for shape in shapes)
    return query * scale, key * scale, value


def written_out(query: Tensor, key: Tensor, value: Tensor) -> np.ndarray:
    q, k, v = (tensor.double().numpy() for tensor in (query, key, value))
    output = np.empty(q.shape)
    for group, head in np.ndindex(q.shape[0], q.shape[2]):
        scores = q[group, :, head] @ k[group, :, head].T / np.sqrt(q.shape[-1])
        shares = np.exp(scores - scores.max(1, keepdims=True))
        output[group, :, head] = shares @ v[group, :, head] / shares.sum(1, keepdims=True)
    return output


def with_kernel(*inputs: Tensor) -> Tensor:
    assert kernels is not None
    return attention._attend_with(kernels, *inputs)


# Whole and cut tiles of queries and keys, one key, more keys than a block holds.
SIZES = [(1, 12, 32, 1, 32), (2, 50, 37, 2, 32), (1, 193, 1, 1, 64), (1, 7, 1100, 3, 32), (1, 400, 545, 1, 96)]


@needs_kernel
@pytest.mark.parametrize("scale", [0.1, 1.0, 6.0, 30.0])
@pytest.mark.parametrize("sizes", SIZES)
def test_kernel_equals_softmax_written_out(sizes: tuple[int, int, int, int, int], scale: float) -> None:
    inputs = random_inputs(sizes, scale)
    largest_score = scale**2 * 10
    np.testing.assert_allclose(with_kernel(*inputs).numpy(), written_out(*inputs), atol=1e-6 * max(2.0, largest_score))


@needs_kernel
def test_queries_within_the_bound_and_beyond_it_agree() -> None:
    query, key, value = random_inputs((1, 300, 700, 1, 32), 1.0)
    # One large query makes its block look for maxima, which must change the others by rounding only.
    louder = query.clone()
    louder[0, 5] *= 100
    expected, seen = with_kernel(query, key, value), with_kernel(louder, key, value)
    others = torch.arange(300) != 5
    torch.testing.assert_close(seen[:, others], expected[:, others], atol=1e-6, rtol=1e-5)
    np.testing.assert_allclose(seen.numpy(), written_out(louder, key, value), atol=1e-4)


@needs_kernel
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_scores_of_one_sign_neither_vanish_nor_overflow(scale: float) -> None:
    query, key, value = random_inputs((1, 40, 100, 1, 32), scale)
    query, key = query.abs(), -key.abs()
    np.testing.assert_allclose(with_kernel(query, key, value).numpy(), written_out(query, key, value), atol=1e-2)


@needs_kernel
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_shows(bad: float) -> None:
    query, key, value = random_inputs((1, 30, 70, 2, 32), 1.0)
    query[0, 3, 1, 5] = bad
    output = with_kernel(query, key, value)
    assert output[0, 3, 1].isnan().all()
    assert output[0, :, 0].isfinite().all()
    assert output[0, :3, 1].isfinite().all()
    key[0, 69, 0, 0] = float("nan")
    assert with_kernel(query, key, value)[0, :, 0].isnan().all()


@needs_kernel
def test_any_number_of_threads_gives_the_same_bits() -> None:
    inputs = random_inputs((2, 500, 300, 2, 32), 1.0)
    before = torch.get_num_threads()
    outputs = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        outputs.append(with_kernel(*inputs))
    torch.set_num_threads(before)
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the kernel is called with; it is replaced."""
    seen: list[str] = []

    def record(_: object, query: Tensor, *__: Tensor) -> Tensor:
        seen.append(str(tuple(query.shape)))
        return query

    monkeypatch.setattr(attention, "_attend_with", record)
    return seen


@needs_kernel
def test_large_float32_input_without_gradients_takes_the_kernel(
    calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MSSTS_ATTENTION", raising=False)
    inputs = random_inputs((1, 600, 600, 1, 32), 1.0)
    with torch.no_grad():
        attend(*inputs)
    assert calls == ["(1, 600, 1, 32)"]
    assert attention_form() == "Numba kernel"


def test_everything_else_takes_pytorch(calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MSSTS_ATTENTION", raising=False)
    large, small, odd = (random_inputs((1, n, n, 1, depth), 1.0) for n, depth in ((600, 32), (20, 32), (600, 24)))
    mask = torch.zeros(1, 600, dtype=torch.bool)
    attend(*large)  # gradients may be asked for
    with torch.no_grad():
        np.testing.assert_allclose(attend(*small).numpy(), written_out(*small), atol=1e-5)
        attend(*odd)
        attend(*large, mask)
        attend(*(tensor.double() for tensor in large))
        monkeypatch.setenv("MSSTS_ATTENTION", "reference")
        attend(*large)
    assert calls == []
    assert attention_form().startswith("PyTorch")


def test_padded_keys_are_not_looked_at() -> None:
    query, key, value = random_inputs((2, 5, 9, 2, 8), 1.0)
    mask = torch.zeros(2, 9, dtype=torch.bool)
    mask[:, 6:] = True
    np.testing.assert_allclose(
        attend(query, key, value, mask).numpy(), written_out(query, key[:, :6], value[:, :6]), atol=1e-5
    )


def test_without_numba_pytorch_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mssts.model.attention_kernels", None)
    monkeypatch.delattr("mssts.model.attention_kernels", raising=False)
    attention._kernels.cache_clear()
    try:
        inputs = random_inputs((1, 600, 600, 1, 32), 1.0)
        with torch.no_grad():
            np.testing.assert_allclose(attend(*inputs).numpy(), written_out(*inputs), atol=1e-5)
        assert attention_form().startswith("PyTorch")
    finally:
        attention._kernels.cache_clear()
