"""Sums with linear layers in fewer passes: the plain sums, up to rounding, and the plain sums themselves elsewhere."""

import pytest
import torch
from random_weights import randomise
from torch import Tensor, nn

from mssts.model import linear_sums
from mssts.model.dropout import Dropout
from mssts.model.linear_sums import add_linear, add_perceptron

DIM, HIDDEN = 24, 72


def layers() -> tuple[nn.Linear, nn.Linear]:
    return randomise(nn.Linear(DIM, HIDDEN)), randomise(nn.Linear(HIDDEN, DIM), seed=1)


def tokens(kind: str) -> Tensor:
    x = torch.randn(2, 3, 5, DIM, generator=torch.Generator().manual_seed(2))
    if kind == "slice":
        return torch.cat((x, x), dim=2)[:, :, 2:7]
    return x.permute(2, 1, 0, 3) if kind == "permuted" else x


def exact(x: Tensor, linear1: nn.Linear, linear2: nn.Linear) -> Tensor:
    """In float64, from the definition."""
    hidden = x.double() @ linear1.weight.double().T + linear1.bias.double()
    return x.double() + hidden.clamp(min=0) @ linear2.weight.double().T + linear2.bias.double()


@pytest.fixture
def short_forms(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often the short form was taken."""
    taken: list[int] = []
    plain = linear_sums._product_sum
    monkeypatch.setattr(linear_sums, "_product_sum", lambda *args: taken.append(1) or plain(*args))
    return taken


@pytest.mark.parametrize("kind", ["contiguous", "slice", "permuted"])
@torch.inference_mode()
def test_short_forms_equal_the_definition(kind: str, short_forms: list[int]) -> None:
    linear1, linear2 = layers()
    x, kept = tokens(kind), tokens(kind).clone()
    ours = add_perceptron(x, linear1, linear2, Dropout(0.1).eval())
    torch.testing.assert_close(ours.double(), exact(x, linear1, linear2), atol=1e-5, rtol=1e-5)
    y = linear1(x)
    sums = add_linear(x, y, linear2, Dropout(0.0))
    expected = x.double() + y.double() @ linear2.weight.double().T + linear2.bias.double()
    torch.testing.assert_close(sums.double(), expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(x, kept), "the input is left as it is"
    assert len(short_forms) == 2


def test_gradients_dropout_and_autocast_get_the_plain_sums(short_forms: list[int]) -> None:
    linear1, linear2 = (layer.requires_grad_() for layer in layers())
    x = tokens("contiguous")
    plain = x + linear2(linear1(x).relu())
    assert torch.equal(add_perceptron(x, linear1, linear2, Dropout(0.0)), plain)
    assert add_linear(x, linear1(x), linear2, Dropout(0.0)).requires_grad
    with torch.no_grad():
        dropped = add_perceptron(x, linear1, linear2, Dropout(0.5).train())
        assert not torch.allclose(dropped, plain, atol=1e-3)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(add_perceptron(x, linear1, linear2, Dropout(0.0)), x + linear2(linear1(x).relu()))
        double1, double2 = linear1.double(), linear2.double()
        doubled = add_perceptron(x.double(), double1, double2, Dropout(0.0))
    torch.testing.assert_close(doubled, exact(x, double1, double2), atol=1e-12, rtol=1e-12)
    assert not short_forms


@torch.inference_mode()
def test_nan_and_infinity_go_through_as_in_the_plain_sum() -> None:
    linear1, linear2 = layers()
    x = tokens("contiguous")
    x[0, 0, 0, 0], x[0, 1, 0, 0] = float("nan"), float("inf")
    ours, plain = add_perceptron(x, linear1, linear2, Dropout(0.0)), x + linear2(linear1(x).relu())
    torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-5, equal_nan=True)
