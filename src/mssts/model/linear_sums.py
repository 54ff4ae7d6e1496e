"""Sums with what linear layers give, in fewer passes over memory than PyTorch makes.

On a CPU, `nn.Linear` fills its output with the bias before it multiplies, and a sum or ReLU behind it reads all of it
again. Elsewhere, and where gradients or dropout are needed, these are the plain sums.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from mssts.model.dropout import Dropout
from mssts.model.native import fits_kernels


def add_linear(
    x: Float[Tensor, "... C"], y: Float[Tensor, "... _c"], layer: nn.Linear, dropout: Dropout
) -> Float[Tensor, "... C"]:
    """Compute x + dropout(layer(y))."""
    if not _saves_passes(dropout, x, y):
        return x + dropout(layer(y))
    return _product_sum(x, layer.bias, y, layer.weight)


def add_perceptron(
    x: Float[Tensor, "... C"], linear1: nn.Linear, linear2: nn.Linear, dropout: Dropout
) -> Float[Tensor, "... C"]:
    """Compute x + dropout(linear2(dropout(relu(linear1(x)))))."""
    if not _saves_passes(dropout, x):
        return x + dropout(linear2(dropout.after_relu(linear1(x))))
    # relu(h + b) = max(h, -b) + b, and the second layer's bias takes what that layer makes of the last term.
    product = F.linear(x, linear1.weight)
    hidden = torch.maximum(product, -linear1.bias, out=product)
    return _product_sum(x, linear2.bias + linear2.weight @ linear1.bias, hidden, linear2.weight)


def _product_sum(
    x: Float[Tensor, "... C"], bias: Float[Tensor, " C"], y: Float[Tensor, "... c"], weight: Float[Tensor, "C c"]
) -> Float[Tensor, "... C"]:
    """Compute x + bias + y W^T: the product is added to a tensor that the first sum makes anyway."""
    total = (x + bias).contiguous()
    total.view(-1, total.shape[-1]).addmm_(y.reshape(-1, y.shape[-1]), weight.T)
    return total


def _saves_passes(dropout: Dropout, *tensors: Tensor) -> bool:
    """Tell whether the short form is the same; autocast would not reach its operations in place."""
    is_plain = not torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu") and fits_kernels(*tensors)
    return is_plain and not (dropout.training and dropout.p > 0)
