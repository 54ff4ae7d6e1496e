"""Let PyTorch's compiler rewrite a model's inference: the same numbers up to rounding, once it has taken its time."""

from collections.abc import Callable, Hashable
from functools import wraps
from typing import Any

import torch

from mssts.errors import ResourceError
from mssts.model.deformable import DeformableSampling
from mssts.model.ms_sts import SelfAttention
from mssts.model.vis import VisModel

WITH_KERNELS = {"cpu": (DeformableSampling, SelfAttention), "cuda": (DeformableSampling,)}
"""What has kernels of its own, by kind of device. A graph does not hold them, so in one it would get its plain form."""


def compile_model(model: VisModel) -> None:
    """Make `encode` and `decode`, and so the forward pass, compile themselves for each size of clip that comes twice.

    The model must be on its device already. A call that cannot be compiled raises ResourceError.
    """
    with_kernels = WITH_KERNELS.get(next(model.parameters()).device.type, ())
    for module in model.modules():
        if isinstance(module, with_kernels):
            module.forward = torch.compiler.disable(module.forward)  # pyright: ignore[reportAttributeAccessIssue]
    model.encode = _compiled(model.encode, lambda frames, *_: frames.shape)
    model.decode = _compiled(model.decode, lambda memory: (memory.tokens.shape, memory.spatial_shapes))


def _compiled(plain: Callable[..., Any], size_of: Callable[..., Hashable]) -> Callable[..., Any]:
    """The function, compiled for each size of its arguments, from the second call with that size on."""
    from torch._dynamo.exc import TorchDynamoException

    # Not one graph for all sizes: with sides that are symbols, compiling takes over five minutes.
    compiled = torch.compile(plain, dynamic=False)
    # A video's short last window, or a whole video in offline mode, comes once and is not worth a compilation.
    seen: set[Hashable] = set()

    @wraps(plain)
    def call(*arguments: Any) -> Any:
        """Call it.

        Raises:
            ResourceError: The compiler fails. No silent way back: who asks for compiled code relies on its speed.
        """
        size = size_of(*arguments)
        if size not in seen:
            seen.add(size)
            return plain(*arguments)
        try:
            return compiled(*arguments)
        except TorchDynamoException as error:
            reason = str(error).strip().splitlines()[0]
            raise ResourceError(
                f"--compile: PyTorch's compiler fails on this machine ({reason}); it needs g++ or clang, on a GPU also "
                "Triton; without --compile everything works"
            ) from error

    return call
