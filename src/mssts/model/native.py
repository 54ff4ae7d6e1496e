"""Compiled CPU kernels beside PyTorch: which tensors may go to them, how they are compiled, how threads share them.

The threads are Python's, without the interpreter lock: Numba's own end the process when two callers meet.
"""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn

from mssts.model.pyramid import SpatialShapes

MAX_POINTS, MAX_TOKENS = 64, 2**24
"""What the kernels of deformable attention take: points of a query and head on all levels, and tokens of a frame."""


GPU_TYPES = (torch.float32, torch.bfloat16, torch.float16)
"""What GPU kernels take, since they compute in float32."""


def fits_kernels(*tensors: Tensor) -> bool:
    """Tell whether the tensors are plain float32 on the CPU, and nothing records the operations done to them."""
    on_cpu = all(tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in tensors)
    return is_plain(*tensors) and on_cpu


def fits_gpu_kernels(*tensors: Tensor) -> bool:
    """Tell whether the tensors are plain floats of at most 32 bits on one GPU, and nothing records their operations."""
    device = tensors[0].device
    on_gpu = device.type == "cuda" and all(tensor.device == device and tensor.dtype in GPU_TYPES for tensor in tensors)
    return on_gpu and is_plain(*tensors)


def is_plain(*tensors: Tensor) -> bool:
    """Tell whether the tensors are of no subclass, and nothing records the operations done to them."""
    return not _is_traced() and all(type(tensor) in (Tensor, nn.Parameter) for tensor in tensors)


def require_fitting_shapes(values: Tensor, spatial_shapes: SpatialShapes, locations: Tensor, weights: Tensor) -> None:
    """Check what kernels of deformable attention are given, for they check no bounds: what they are told must be true.

    Raises:
        ValueError: The shapes do not fit together.
    """
    num_frames, num_tokens, num_heads, _ = values.shape
    expected = (num_frames, weights.shape[1], num_heads, len(spatial_shapes), weights.shape[-1])
    if weights.shape != expected or locations.shape != (*expected, 2):
        raise ValueError(f"weights {tuple(weights.shape)} or locations {tuple(locations.shape)} are not {expected}")
    if num_tokens != sum(height * width for height, width in spatial_shapes) or min(map(min, spatial_shapes)) < 1:
        raise ValueError(f"levels {spatial_shapes} do not make {num_tokens} tokens")


def _is_traced() -> bool:
    """Tell whether something records PyTorch operations, which cannot see into the kernels."""
    if torch.compiler.is_compiling():  # first, because the compiler cannot trace the other questions
        return True
    is_watched = torch._C._len_torch_dispatch_stack() > 0  # something counts or changes operations
    return is_transformed() or is_watched or torch._C._get_tracing_state() is not None


def is_transformed() -> bool:
    """Tell whether vmap, jvp or the like is at work, in which plain tensors cannot be written into."""
    return not torch.compiler.is_compiling() and torch._C._are_functorch_transforms_active()


def kernel(*argument_types: str, **options: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Compile a function at once, for the given Numba types and a range (first, last) behind them.

    The compiled code is kept beside the file or in the user's cache folder, where one can be written.

    Raises:
        ImportError: Numba is not there, or is switched off.
    """
    from numba import config

    from mssts.compiled import compile_now

    if config.DISABLE_JIT:  # pyright: ignore[reportAttributeAccessIssue]
        raise ImportError("Numba is switched off (NUMBA_DISABLE_JIT)")
    return compile_now(f"void({', '.join(argument_types)}, int64, int64)", **options)


def run_in_threads(compiled: Callable[..., None], count: int, *arguments: Any, parts: int = 1) -> None:
    """Call a kernel for 0..count, in as many ranges as PyTorch has threads, or so many parts of them.

    With more parts than one, a thread whose core also serves others gets fewer of them.
    """
    num_threads = max(1, min(torch.get_num_threads(), count))
    if num_threads == 1:
        return compiled(*arguments, 0, count)
    num_ranges = min(num_threads * parts, count)
    bounds = [count * index // num_ranges for index in range(num_ranges + 1)]
    with ThreadPoolExecutor(num_threads) as threads:
        for part in [threads.submit(compiled, *arguments, *pair) for pair in itertools.pairwise(bounds)]:
            part.result()
    return None
