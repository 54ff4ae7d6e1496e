"""The Triton form of deformable attention against the plain one: interpreted on a CPU, or on a GPU."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from mssts.model import deformable, native
from mssts.model.deformable import deformable_form, sample_deformable

CASES = Path(__file__).with_name("triton_cases.py")
TOLERANCE = {"bfloat16 values": 1e-2, "float16": 2e-3}


def errors_on(device: str, **variables: str) -> dict[str, float]:
    command = [sys.executable, str(CASES), device]
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def assert_small(errors: dict[str, float], usual: float) -> None:
    assert len(errors) == 8
    # NaN is not small either.
    assert {name: error for name, error in errors.items() if not error <= TOLERANCE.get(name, usual)} == {}


def test_interpreted_kernels_equal_the_plain_form() -> None:
    pytest.importorskip("triton", reason="Triton is not installed")
    assert_small(errors_on("cpu", TRITON_INTERPRET="1"), 2e-6)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("name", ["_forward", "_backward"])
def test_kernels_compile_for_a_gpu_that_need_not_be_here(name: str, dtype: str) -> None:
    triton = pytest.importorskip("triton", reason="Triton is not installed")
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from mssts.model import deformable_triton

    kernel = getattr(deformable_triton, name)
    sizes = {"levels": 4, "points": 4, "block_queries": 32, "block_depth": 32}
    types = dict.fromkeys(kernel.arg_names, "*fp32") | dict.fromkeys(sizes, "constexpr")
    types |= {"shapes": "*i32"} | dict.fromkeys(("queries", "heads", "tokens", "depth"), "i32")
    types |= {argument: f"*{dtype}" for argument in ("values", "output", "grad_output") if argument in types}
    source = ASTSource(fn=kernel, signature=types, constexprs=sizes)
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32))
    assert len(compiled.asm["cubin"]) > 1000
    assert ".acq_rel" not in compiled.asm["ptx"]  # a fence at each addition would make the backward pass crawl


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_kernels_equal_the_plain_form_on_a_gpu() -> None:
    # Compiled, they may fuse a product and a sum; atomic additions come in any order.
    assert_small(errors_on("cuda"), 1e-5)


class Fails(torch.autograd.Function):
    """Goes forward and not back."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return x

    @staticmethod
    def backward(ctx, _grad: Tensor) -> Tensor:
        raise RuntimeError("no kernel image is available")


def test_a_form_works_that_goes_forward_and_back() -> None:
    def full(*_: object) -> Tensor:
        raise torch.OutOfMemoryError("out of memory")

    with torch.inference_mode():
        assert deformable.works(deformable.sample_deformable_reference, "cpu")
    assert not deformable.works(lambda *_: torch.ones(1, requires_grad=True), "cpu"), "the values have no gradient"
    assert not deformable.works(lambda values, *_: Fails.apply(values), "cpu")
    with pytest.raises(torch.OutOfMemoryError):
        deformable.works(full, "cpu")


def test_a_gpu_gets_the_triton_form_where_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MSSTS_DEFORMABLE", raising=False)
    monkeypatch.setattr(deformable, "_probed_triton_form", lambda: sample_deformable)
    assert deformable_form("cuda") == "Triton kernels"
    monkeypatch.setenv("MSSTS_DEFORMABLE", "reference")
    assert deformable_form("cuda").startswith("plain PyTorch")
    monkeypatch.delenv("MSSTS_DEFORMABLE")
    monkeypatch.setattr(deformable, "_probed_triton_form", lambda: None)
    assert deformable_form("cuda").startswith("plain PyTorch")


@pytest.mark.parametrize(
    ("types", "form"),
    [
        ("float32 float32 float32", "triton"),
        ("bfloat16 float32 float32", "triton"),
        ("float16 float16 float32", "triton"),
        ("float64 float64 float64", "plain"),
    ],
)
def test_types_on_a_gpu_choose_the_form(types: str, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With tensors that only claim to be on a GPU; they are not plain, so that question is answered for them."""
    monkeypatch.delenv("MSSTS_DEFORMABLE", raising=False)
    monkeypatch.setattr(native, "is_plain", lambda *_: True)
    taken: list[str] = []

    def sampler(name: str) -> Callable[..., Tensor]:
        def sample(values: Tensor, *_: object) -> Tensor:
            taken.append(name)
            return values.new_zeros(1, 3, 8)

        return sample

    monkeypatch.setattr(deformable, "_triton_form", lambda: sampler("triton"))
    monkeypatch.setattr(deformable, "sample_deformable_reference", sampler("plain"))
    with FakeTensorMode():
        values, locations, weights = (
            torch.empty(shape, dtype=getattr(torch, dtype), device="cuda")
            for shape, dtype in zip([(1, 6, 2, 4), (1, 3, 2, 1, 2, 2), (1, 3, 2, 1, 2)], types.split(), strict=True)
        )
        sample_deformable(values, ((2, 3),), locations, weights)
    assert taken == [form]


def test_more_than_32_bits_are_refused() -> None:
    pytest.importorskip("triton", reason="Triton is not installed")
    from mssts.model.deformable_triton import sample_deformable_triton

    values, locations, weights = torch.ones(1, 1, 1, 4), torch.zeros(1, 1, 1, 1, 1, 2), torch.ones(1, 1, 1, 1, 1)
    with pytest.raises(ValueError, match="takes float32"):
        sample_deformable_triton(values, ((1, 1),), locations.double(), weights)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, on which Triton works")
def test_without_a_gpu_the_probe_says_no() -> None:
    deformable._probed_triton_form.cache_clear()
    assert deformable._probed_triton_form() is None
