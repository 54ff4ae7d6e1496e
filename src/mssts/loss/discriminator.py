"""The adversary that tells true from predicted foreground, given the frames and the encoder's features.

Paper: section 3.4. It says what the discriminator sees; its sizes are ours, after pix2pix (Isola et al., CVPR 2017).
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

LEAK = 0.2
PATCH_WIDTHS = (64, 128, 256, 512)
FRAME_CHANNELS = 3
MASK_CHANNELS = 1


class Discriminator(nn.Module):
    """Judges a foreground mask patch by patch.

    Paper: 3.4; leaves the sizes open. We join frame, stride-8 features and mask, and add the coarser features after
    each pooling, so that every scale of the encoder is judged and gets a gradient.

    Args:
        hidden_dim: Channels C of the encoder's features.
    """

    def __init__(self, hidden_dim: int) -> None:
        super().__init__()
        self.join = nn.Conv2d(hidden_dim + FRAME_CHANNELS + MASK_CHANNELS, hidden_dim, 3, padding=1)
        self.coarsen = nn.Conv2d(hidden_dim, hidden_dim, 3, padding=1)
        widths = (hidden_dim, *PATCH_WIDTHS)
        self.patches = nn.ModuleList(nn.Conv2d(before, after, 3, padding=1) for before, after in pairwise(widths))
        self.verdict = nn.Conv2d(PATCH_WIDTHS[-1], 1, 3, padding=1)

    def forward(
        self,
        frames: Float[Tensor, "M 3 h w"],
        memory: tuple[Float[Tensor, "M C h w"], Float[Tensor, "M C _h16 _w16"], Float[Tensor, "M C _h32 _w32"]],
        mask: Float[Tensor, "M 1 h w"],
    ) -> Float[Tensor, "M 1 _h32 _w32"]:
        """Logits of "this mask is the truth" at stride 32.

        Args:
            frames: RGB as the model sees it, brought to stride 8.
            memory: The encoder's output at strides 8, 16 and 32.
            mask: Foreground at stride 8, 0..1.
        """
        fine, middle, coarse = memory
        x = _leaky(self.join(torch.cat((fine, frames, mask), dim=1)))
        x = _leaky(self.coarsen(_pool(x, middle) + middle))
        x = _pool(x, coarse) + coarse
        for convolution in self.patches:
            x = _leaky(convolution(x))
        return self.verdict(x)


def _leaky(x: Float[Tensor, "M C h w"]) -> Float[Tensor, "M C h w"]:
    return F.leaky_relu(x, LEAK)


def _pool(x: Float[Tensor, "M C h w"], like: Float[Tensor, "M C h2 w2"]) -> Float[Tensor, "M C h2 w2"]:
    """Halve by the maximum; to the very size of the next level, which rounds odd sides as the backbone does."""
    return F.adaptive_max_pool2d(x, (like.shape[-2], like.shape[-1]))
