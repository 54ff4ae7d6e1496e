"""Dropout in compiled kernels against its definition and PyTorch's."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from mssts.model import dropout
from mssts.model.dropout import Dropout

NUM_NUMBERS = 400_000


def _kept(x: Tensor, seed: int, share: float = 0.1) -> Tensor:
    """Which of the numbers stay, as 0 and 1."""
    torch.manual_seed(seed)
    return (Dropout(share)(x.abs() + 1) != 0).double()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_share_is_dropped_and_the_rest_is_scaled(share: float) -> None:
    x = torch.randn(NUM_NUMBERS)
    torch.manual_seed(0)
    y = Dropout(share)(x)
    kept = y != 0
    assert 1 - kept.double().mean().item() == pytest.approx(share, abs=5 * (share * (1 - share) / NUM_NUMBERS) ** 0.5)
    torch.testing.assert_close(y[kept], x[kept] / (1 - share))


def test_numbers_are_dropped_independently() -> None:
    """No correlation between neighbours at any small distance, between rows of tokens, or between two calls."""
    kept = _kept(torch.ones(NUM_NUMBERS), seed=3) - 0.9
    others = [kept.roll(distance) for distance in (1, 2, 3, 4, 8, 16, 64, 255, 256, 1024, 65536)]
    others += [_kept(torch.ones(NUM_NUMBERS), seed=seed) - 0.9 for seed in range(4, 12)]
    correlations = [(kept * other).mean().item() / 0.09 for other in others]
    assert max(map(abs, correlations)) < 5 / NUM_NUMBERS**0.5


def test_calls_drop_in_turn_as_many_as_chance_would() -> None:
    """The number of dropped values of many small calls is spread as a binomial distribution is."""
    torch.manual_seed(0)
    counts = torch.tensor([(Dropout(0.1)(torch.ones(1000)) == 0).sum().item() for _ in range(2000)]).double()
    assert counts.mean().item() == pytest.approx(100, abs=5 * (90 / 2000) ** 0.5)
    assert counts.var().item() == pytest.approx(90, rel=0.2)


def test_the_gradient_flows_where_numbers_stay() -> None:
    x = torch.randn(3, 50, 7, requires_grad=True)
    y = Dropout(0.3)(x)
    weights = torch.randn(3, 50, 7)
    (grad,) = torch.autograd.grad((y * weights).sum(), x)
    expected = torch.where(y == 0, 0.0, weights / 0.7)
    torch.testing.assert_close(grad, expected)


def test_relu_and_dropout_equal_both_one_after_the_other() -> None:
    x = torch.randn(5, 40, 30, requires_grad=True)
    module, weights = Dropout(0.2), torch.randn(5, 40, 30)
    torch.manual_seed(1)
    fused = module.after_relu(x)
    torch.manual_seed(1)
    separate = module(x.relu())
    grads = [torch.autograd.grad((y * weights).sum(), x)[0] for y in (fused, separate)]
    assert torch.equal(fused, separate)
    assert torch.equal(grads[0], grads[1])


def test_the_input_of_relu_stays() -> None:
    x = torch.randn(100, requires_grad=True)
    before = x.detach().clone()
    Dropout(0.1).after_relu(x)
    assert torch.equal(x, before)


def test_transposed_input_is_taken_in_its_own_order() -> None:
    x = torch.randn(20, 30, requires_grad=True)
    for function in (Dropout(0.3), Dropout(0.3).after_relu):
        y = function(x.t())
        weights = torch.randn(20, 30)
        (grad,) = torch.autograd.grad((y * weights.t()).sum(), x)
        torch.testing.assert_close(grad, torch.where(y.t() == 0, 0.0, weights / 0.7))
        torch.testing.assert_close(y[y != 0], (x.t() / 0.7)[y != 0])


def test_nan_is_not_hidden() -> None:
    y = Dropout(0.5).after_relu(torch.full((1000,), torch.nan))
    assert 400 < y.isnan().sum() < 600


def test_one_seed_drops_the_same_for_any_number_of_threads() -> None:
    x, threads = torch.randn(1001), torch.get_num_threads()
    try:
        outputs = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            torch.manual_seed(7)
            outputs.append(Dropout(0.1)(x))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])


def test_recomputation_drops_the_same() -> None:
    """Under gradient checkpointing the second forward pass must be the first."""
    x, module = torch.randn(1000, requires_grad=True), Dropout(0.5)
    y = checkpoint(lambda z: module(z).square(), x, use_reentrant=False)
    assert isinstance(y, Tensor)
    (grad,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(grad, torch.where(y == 0, 0.0, 8 * x))


@pytest.mark.parametrize("kind", ["evaluation", "nothing to drop"])
def test_nothing_is_dropped(kind: str) -> None:
    module = Dropout(0.5).eval() if kind == "evaluation" else Dropout(0.0)
    x = torch.randn(100)
    assert torch.equal(module(x), x)
    assert torch.equal(module.after_relu(x.clone()), x.relu())


def test_float64_and_machines_without_kernels_get_pytorchs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    double = torch.randn(1000, dtype=torch.float64)
    for x, has_kernels in ((double, True), (double.float(), False)):
        if not has_kernels:
            monkeypatch.setattr(dropout, "_kernels", lambda: None)
        torch.manual_seed(2)
        own = Dropout(0.3)(x), Dropout(0.3).after_relu(x)
        torch.manual_seed(2)
        assert torch.equal(own[0], F.dropout(x, 0.3))
        assert torch.equal(own[1], F.dropout(x.relu(), 0.3))


def test_a_share_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"dropout is 1\.0"):
        Dropout(1.0)


def test_an_empty_tensor_is_no_matter() -> None:
    assert Dropout(0.1)(torch.ones(0, 3)).shape == (0, 3)
