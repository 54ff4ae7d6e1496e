"""Random clips and predictions for the tests of matcher and criterion."""

import torch

from mssts.model.mask_head import NUM_KERNEL_PARAMETERS
from mssts.types import Prediction, Targets

NUM_FRAMES, NUM_SLOTS = 3, 5


def random_targets(num_instances: int, height: int = 32, width: int = 40, seed: int = 0) -> Targets:
    random = torch.Generator().manual_seed(seed)
    centre = torch.rand(num_instances, NUM_FRAMES, 2, generator=random) * 0.6 + 0.2
    size = torch.rand(num_instances, NUM_FRAMES, 2, generator=random) * 0.3 + 0.05
    masks = torch.rand(num_instances, NUM_FRAMES, height, width, generator=random) > 0.7
    labels = torch.randint(NUM_SLOTS, (num_instances,), generator=random)
    return Targets(labels, torch.cat((centre, size), dim=-1), masks)


def random_prediction(
    num_clips: int, num_layers: int = 2, num_queries: int = 6, height: int = 32, width: int = 64, seed: int = 1
) -> Prediction:
    random = torch.Generator().manual_seed(seed)
    lead = (num_layers, num_clips)
    return Prediction(
        class_logits=torch.randn(*lead, num_queries, NUM_SLOTS, generator=random) - 1,
        boxes_cxcywh=torch.rand(*lead, NUM_FRAMES, num_queries, 4, generator=random) * 0.5 + 0.1,
        reference_points=torch.rand(*lead, NUM_FRAMES, num_queries, 2, generator=random),
        mask_kernels=torch.randn(*lead, num_queries, NUM_KERNEL_PARAMETERS, generator=random) * 0.2,
        embeddings=torch.zeros(*lead, num_queries, 4),
        mask_features=torch.rand(num_clips, NUM_FRAMES, 8, height // 8, width // 8, generator=random),
        memory=(),
    )
