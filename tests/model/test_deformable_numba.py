"""The Numba form of deformable attention against the plain PyTorch form, in float64 where rounding matters."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from mssts.model import deformable
from mssts.model.deformable import deformable_form, sample_deformable, sample_deformable_reference
from mssts.model.deformable_numba import sample_deformable_numba

ODD_SHAPES = ((5, 3), (2, 4), (1, 1))
ENCODER_SHAPES = ((12, 20), (6, 10), (3, 5), (2, 3))
Sampler = Callable[..., Tensor]


def random_inputs(
    shapes: tuple[tuple[int, int], ...] = ODD_SHAPES,
    frames: int = 2,
    queries: int = 7,
    heads: int = 4,
    depth: int = 24,
    points: int = 4,
    spread: float = 0.7,
) -> tuple[Tensor, Tensor, Tensor]:
    """Values, locations of which a part lies outside the map, weights."""
    random = torch.Generator().manual_seed(queries + heads + depth)
    values = torch.randn(frames, sum(height * width for height, width in shapes), heads, depth, generator=random)
    locations = 0.5 + spread * torch.randn(frames, queries, heads, len(shapes), points, 2, generator=random)
    weights = torch.randn(frames, queries, heads, len(shapes), points, generator=random)
    return values, locations, weights


def outputs_and_gradients(
    sampler: Sampler, shapes: tuple[tuple[int, int], ...], inputs: tuple[Tensor, ...], dtype: torch.dtype
) -> list[Tensor]:
    leaves = [tensor.detach().to(dtype).requires_grad_() for tensor in inputs]
    output = sampler(leaves[0], shapes, leaves[1], leaves[2])
    grad = torch.randn(output.shape, generator=torch.Generator().manual_seed(9)).to(dtype)
    return [output.detach(), *torch.autograd.grad(output, leaves, grad)]


def assert_equal_to_reference(shapes: tuple[tuple[int, int], ...], inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    ours = outputs_and_gradients(sample_deformable_numba, shapes, inputs, torch.float32)
    expected = outputs_and_gradients(sample_deformable_reference, shapes, inputs, torch.float64)
    torch.testing.assert_close(ours[0].double(), expected[0], rtol=1e-5, atol=1e-5)
    for ours_grad, expected_grad in zip(ours[1:], expected[1:], strict=True):
        assert ours_grad.shape == expected_grad.shape
        torch.testing.assert_close(
            ours_grad.double(), expected_grad, rtol=1e-4, atol=1e-4 * float(expected_grad.abs().max())
        )


@pytest.mark.parametrize("heads", [1, 4, 8])
@pytest.mark.parametrize("depth", [3, 12, 24, 32])
def test_numba_form_equals_reference(heads: int, depth: int) -> None:
    inputs = random_inputs(heads=heads, depth=depth)
    assert (inputs[1] < 0).any()
    assert (inputs[1] > 1).any()
    assert_equal_to_reference(ODD_SHAPES, inputs)


@pytest.mark.parametrize(("queries", "frames", "points"), [(1, 1, 1), (1, 5, 4), (300, 5, 4), (317, 2, 4), (33, 1, 3)])
def test_numba_form_equals_reference_at_the_models_shapes(queries: int, frames: int, points: int) -> None:
    """One query, the decoder's 300 queries, and the encoder's, one per token."""
    inputs = random_inputs(ENCODER_SHAPES, frames, queries, heads=8, depth=32, points=points, spread=0.3)
    assert_equal_to_reference(ENCODER_SHAPES, inputs)


def test_numba_form_equals_reference_on_borders_and_pixels() -> None:
    """Multiples of half a pixel, from beyond one border to beyond the other; the sizes make them exact."""
    shapes = ((4, 8), (2, 2))
    halves = torch.arange(-1.5, 10, 0.5)
    grid = torch.stack(torch.meshgrid(halves, halves, indexing="xy"), -1).flatten(0, 1)
    values, locations, weights = random_inputs(shapes, frames=1, queries=len(grid), heads=1, depth=8, points=1)
    locations[0, :, 0, 0, 0] = grid / torch.tensor([8.0, 4.0])
    locations[0, :, 0, 1, 0] = grid / 2
    assert_equal_to_reference(shapes, (values, locations, weights))


@pytest.mark.parametrize("far", [10.0, -3e9, 1e30])
def test_numba_form_far_outside_is_zero(far: float) -> None:
    values, locations, weights = random_inputs()
    results = outputs_and_gradients(
        sample_deformable_numba, ODD_SHAPES, (values, locations * 0 + far, weights), torch.float32
    )
    assert all(not result.any() for result in results)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("which", ["values", "locations", "weights"])
def test_numba_form_is_not_finite_where_the_reference_is_not(which: str, bad: float) -> None:
    """A bad number shows in the same outputs and gradients, and nowhere else."""
    inputs = random_inputs(heads=2, depth=8)
    values, locations, weights = inputs
    if which == "values":
        values[1, 7, 1] = bad  # the middle of the finest level
    elif which == "weights":
        weights[1, 2, 1, 0, 1] = bad
    else:
        locations[1, 2, 1, 0, 1, 0] = bad
        locations[1, 4, 0, 1, 2, 1] = bad
    ours = outputs_and_gradients(sample_deformable_numba, ODD_SHAPES, inputs, torch.float32)
    expected = outputs_and_gradients(sample_deformable_reference, ODD_SHAPES, inputs, torch.float32)
    assert not expected[0].isfinite().all()
    assert torch.equal(ours[0].isfinite(), expected[0].isfinite())
    finite = expected[0].isfinite()
    torch.testing.assert_close(ours[0][finite], expected[0][finite], rtol=1e-5, atol=1e-5)


def test_numba_form_takes_non_contiguous_tensors_and_gradients() -> None:
    inputs = random_inputs()
    strided = [torch.stack((tensor, tensor * 0), -1)[..., 0] for tensor in inputs]
    assert not any(tensor.is_contiguous() for tensor in strided)
    expected = sample_deformable_numba(inputs[0], ODD_SHAPES, inputs[1], inputs[2])
    assert torch.equal(sample_deformable_numba(strided[0], ODD_SHAPES, strided[1], strided[2]), expected)

    leaves = [tensor.requires_grad_() for tensor in inputs]
    upstream = torch.randn(expected.shape[::-1], generator=torch.Generator().manual_seed(1)).permute(2, 1, 0)
    assert not upstream.is_contiguous()
    grads = []
    for sampler in (sample_deformable_numba, sample_deformable_reference):
        output = sampler(leaves[0], ODD_SHAPES, leaves[1], leaves[2])
        grads.append(torch.autograd.grad(output, leaves, upstream))
    for ours, reference in zip(*grads, strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-4, atol=1e-4 * float(reference.abs().max()))


def test_numba_form_takes_nothing() -> None:
    values, locations, weights = random_inputs()
    assert sample_deformable_numba(values, ODD_SHAPES, locations[:, :0], weights[:, :0]).shape == (2, 0, 96)
    assert sample_deformable_numba(values[:0], ODD_SHAPES, locations[:0], weights[:0]).shape == (0, 7, 96)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda values, locations, weights: (values[:, 1:], locations, weights),
        lambda values, locations, weights: (values[:1], locations, weights),
        lambda values, locations, weights: (values, locations[:, :3], weights),
        lambda values, locations, weights: (values, locations[:, :, :, :2], weights[:, :, :, :2]),
        lambda values, locations, weights: (values[:, :, :2], locations, weights),
        lambda values, locations, weights: (values.double(), locations, weights),
    ],
)
def test_numba_form_refuses_shapes_that_do_not_fit(spoil: Callable[..., tuple[Tensor, Tensor, Tensor]]) -> None:
    """The kernels check no bounds, so nothing wrong may reach them; shape checkers of the tests are left out."""
    unchecked = getattr(sample_deformable_numba, "__wrapped__", sample_deformable_numba)
    values, locations, weights = spoil(*random_inputs())
    with pytest.raises(ValueError, match=r"are not|do not make|takes float32"):
        unchecked(values, ODD_SHAPES, locations, weights)


@pytest.fixture
def _restore_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("_restore_threads")
def test_numba_form_gives_the_same_bits_for_any_number_of_threads() -> None:
    inputs = random_inputs(ENCODER_SHAPES, frames=3, queries=200, heads=4, spread=0.3)
    runs = []
    for threads in (1, 2, 5, 1):
        torch.set_num_threads(threads)
        runs.append(outputs_and_gradients(sample_deformable_numba, ENCODER_SHAPES, inputs, torch.float32))
    for run in runs[1:]:
        assert all(torch.equal(ours, first) for ours, first in zip(run, runs[0], strict=True))


def test_numba_form_can_be_called_from_several_threads_at_once() -> None:
    inputs = random_inputs(ENCODER_SHAPES, queries=200, spread=0.3)
    expected = sample_deformable_numba(inputs[0], ENCODER_SHAPES, inputs[1], inputs[2])
    results: list[Tensor] = []

    def call() -> None:
        results.extend(sample_deformable_numba(inputs[0], ENCODER_SHAPES, inputs[1], inputs[2]) for _ in range(5))

    callers = [threading.Thread(target=call) for _ in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(results) == 15
    assert all(torch.equal(result, expected) for result in results)


def form_used(inputs: tuple[Tensor, Tensor, Tensor]) -> str:
    """Tell the forms apart by the name of the operation that autograd recorded."""
    output = sample_deformable(inputs[0].requires_grad_(), ODD_SHAPES, inputs[1], inputs[2])
    names, nodes = set(), [output.grad_fn]
    while nodes:
        node = nodes.pop()
        if node is not None:
            names.add(node.name())
            nodes += [parent for parent, _ in node.next_functions]
    return "reference" if any("GridSampler" in name for name in names) else "numba"


def test_float32_on_the_cpu_takes_the_numba_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MSSTS_DEFORMABLE", raising=False)
    assert form_used(random_inputs()) == "numba"
    assert deformable_form("cpu") == "Numba kernels"


def test_float64_takes_the_reference() -> None:
    values, locations, weights = random_inputs()
    assert form_used((values.double(), locations.double(), weights.double())) == "reference"


def test_bfloat16_is_computed_in_float32() -> None:
    values, locations, weights = random_inputs()
    half = values.bfloat16()
    output = sample_deformable(half, ODD_SHAPES, locations, weights)
    assert torch.equal(output, sample_deformable(half.float(), ODD_SHAPES, locations, weights).bfloat16())
    assert form_used((half, locations, weights)) == "numba"


def test_environment_variable_takes_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSSTS_DEFORMABLE", "reference")
    assert form_used(random_inputs()) == "reference"
    assert deformable_form("cpu").startswith("plain PyTorch")


def test_without_numba_the_reference_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MSSTS_DEFORMABLE", raising=False)
    for name in ("numba", "mssts.model.deformable_numba"):
        monkeypatch.setitem(sys.modules, name, None)
    deformable._imported_numba_form.cache_clear()
    try:
        assert form_used(random_inputs()) == "reference"
        assert deformable_form("cpu").startswith("plain PyTorch")
    finally:
        deformable._imported_numba_form.cache_clear()


@pytest.mark.filterwarnings("ignore")  # of the tracer, which is deprecated, and of vmap, which is slow here
def test_traces_and_transforms_hold_the_reference() -> None:
    values, locations, weights = random_inputs()
    expected = sample_deformable_reference(values, ODD_SHAPES, locations, weights)

    def sample(values: Tensor) -> Tensor:
        return sample_deformable(values, ODD_SHAPES, locations, weights)

    traced = torch.jit.trace(sample, values, check_trace=False)
    assert isinstance(traced, torch.jit.ScriptFunction)
    assert "grid_sampler" in str(traced.inlined_graph)
    assert torch.equal(torch.vmap(sample)(values[None])[0], expected)


def test_exported_model_holds_the_reference() -> None:
    class Sample(torch.nn.Module):
        def forward(self, values: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
            return sample_deformable(values, ODD_SHAPES, locations, weights)

    program = torch.export.export(Sample(), random_inputs())
    assert "grid_sampler" in str(program.graph)


def test_kernels_work_where_no_cache_can_be_written() -> None:
    """Numba finds no folder to write to: the kernels are compiled all the same, and nothing is printed."""
    code = """
import numba.core.caching
for name in ('CacheImpl', '_CacheImpl'):  # the name depends on the version
    if hasattr(numba.core.caching, name):
        getattr(numba.core.caching, name)._locator_classes = []
from mssts.model.deformable_kernels import forward
print(type(forward._cache).__name__, len(forward.signatures))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.split(), done.stderr) == (["NullCache", "1"], "")


def test_more_points_than_the_kernels_take_get_the_plain_form() -> None:
    values, weights = torch.randn(1, 9, 2, 8), torch.rand(1, 3, 2, 1, 65)
    locations = torch.rand(1, 3, 2, 1, 65, 2)
    with pytest.raises(ValueError, match="1 x 65 points"):
        sample_deformable_numba(values, ((3, 3),), locations, weights)
    expected = sample_deformable_reference(values, ((3, 3),), locations, weights)
    assert torch.equal(sample_deformable(values, ((3, 3),), locations, weights), expected)
