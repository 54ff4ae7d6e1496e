"""Work in chunks gives what work on the whole gives."""

import pytest
import torch
from torch import Tensor

from mssts.model.chunks import in_chunks


@pytest.mark.parametrize(("dim", "length", "size"), [(0, 10, 3), (1, 7, 7), (1, 8, 1), (2, 5, 100)])
def test_chunks_equal_the_whole(dim: int, length: int, size: int) -> None:
    shape = [2, 3, 4]
    shape[dim] = length
    x, y = torch.randn(shape), torch.randn(shape)
    lengths = []

    def function(a: Tensor, b: Tensor) -> Tensor:
        lengths.append(a.shape[dim])
        return a * 2 + b.cumsum((dim + 1) % 3)

    with torch.no_grad():
        output = in_chunks(function, x, y, dim=dim, size=size)
    assert max(lengths) <= size
    assert sum(lengths) == length
    assert torch.equal(output, function(x, y))


def test_with_gradients_the_function_is_called_once() -> None:
    x = torch.randn(10, 2, requires_grad=True)
    calls = []

    def function(a: Tensor) -> Tensor:
        calls.append(len(a))
        return a.square()

    in_chunks(function, x, dim=0, size=3).sum().backward()
    assert calls == [10]
    assert x.grad is not None
    torch.testing.assert_close(x.grad, 2 * x.detach())
