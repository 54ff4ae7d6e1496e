"""Records what a model's attention does, through forward hooks: the model's own code knows nothing of it.

The hooks only read. The results are those of the same model without them, up to the rounding of another kernel that
PyTorch may choose for an attention module with hooks.
"""

from collections import deque
from types import TracebackType
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from mssts.errors import UsageError
from mssts.model.vis import VisModel
from mssts.types import Prediction


class WindowRecord(NamedTuple):
    """What one pass over a clip of T frames did, for N queries, on the CPU; P points are those of all heads and levels.

    Attributes:
        memory: The encoder's output E at the finest level.
        points: Where the decoder's last layer samples, (x, y) in 0..1 of the frame.
        point_weights: How much each sample counts; they sum to 1 in each frame.
        frame_weights: How much each frame counts in the instance's embedding (last layer); they sum to 1.
        frame_attention: Temporal attention of the last layer, from frame (first axis) to frame (second, sums to 1),
            mean over the heads; None for a model without it.
    """

    memory: Float[Tensor, "T C h w"]
    points: Float[Tensor, "N T P 2"]
    point_weights: Float[Tensor, "N T P"]
    frame_weights: Float[Tensor, "N T"]
    frame_attention: Float[Tensor, "N T T"] | None


class Recorder:
    """Records each pass of a model over one clip while its `with` block lasts.

    `take` gives the records in the order of the passes, each once; those not yet taken are kept.
    """

    def __init__(self, model: VisModel) -> None:
        self._model = model
        self._handles: list[RemovableHandle] = []
        self._records: deque[WindowRecord] = deque()
        self._parts: dict[str, Any] = {}

    def __enter__(self) -> "Recorder":
        layer = self._model.decoder.layers[-1]
        self._handles.append(layer.get_submodule("sampling").register_forward_hook(self._on_sampling))
        self._handles.append(layer.get_submodule("frame_weight").register_forward_hook(self._on_frame_weight))
        if self._model.config.temporal_decoder.enabled:
            attention = layer.get_submodule("temporal_attention.attention")
            self._handles.append(attention.register_forward_hook(self._on_temporal_attention))
        # Called last, when all parts are there.
        self._handles.append(self._model.register_forward_hook(self._on_end))
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def take(self) -> WindowRecord:
        """The oldest record that was not taken yet.

        Raises:
            IndexError: There is none.
        """
        return self._records.popleft()

    def _on_sampling(self, module: nn.Module, arguments: tuple, _output: Tensor) -> None:
        query, reference, _, shapes = arguments
        points, weights = module.points(query, reference, shapes)  # pyright: ignore[reportCallIssue]
        num_heads = points.shape[2]
        self._parts["points"] = points.transpose(0, 1).flatten(2, 4)
        self._parts["point_weights"] = weights.transpose(0, 1).flatten(2, 4) / num_heads

    def _on_frame_weight(self, _module: nn.Module, _arguments: tuple, output: Float[Tensor, "B T N 1"]) -> None:
        self._parts["frame_weights"] = output.softmax(dim=1)[0, :, :, 0].T

    def _on_temporal_attention(self, module: nn.MultiheadAttention, arguments: tuple, _output: tuple) -> None:
        # Past the hooks, or this would call itself.
        self._parts["frame_attention"] = module.forward(*arguments, need_weights=True)[1]

    def _on_end(self, _module: nn.Module, _arguments: tuple, output: Prediction) -> None:
        parts = {"memory": output.memory[0][0], **self._parts}
        on_cpu: dict[str, Any] = {name: part.detach().float().cpu() for name, part in parts.items()}
        self._records.append(WindowRecord(**{"frame_attention": None, **on_cpu}))
        self._parts.clear()


def switch_off_ms_sts(model: VisModel) -> None:
    """Silence the MS-STS attention for good: the fusion gets zeros in place of the enriched features (paper: Fig. 3).

    What is left is per-frame deformable attention with the same weights. It is not the baseline of the paper, which
    was trained without MS-STS; for a model converted from one and not trained further both are the same.

    Raises:
        UsageError: The model has none.
    """
    if not model.config.ms_sts.enabled:
        raise UsageError("the model has no MS-STS attention that could be switched off")
    for layer in model.encoder.layers:
        layer.get_submodule("ms_sts").register_forward_hook(_zeros)


def _zeros(_module: nn.Module, _arguments: tuple, output: Tensor) -> Tensor:
    return torch.zeros_like(output)
