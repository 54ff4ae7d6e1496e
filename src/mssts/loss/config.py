"""Weights of the losses and numbers of the adversarial game; imports nothing slow, as options are made of them."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class MatchCosts:
    """Weights of the matching costs; masks take no part, they would have to be made for all queries.

    Attributes:
        label: Of the class score.
        box: Of the L1 distance of the boxes.
        giou: Of the generalised IoU of the boxes.
    """

    label: float = 2.0
    box: float = 5.0
    giou: float = 2.0


@dataclass(frozen=True)
class CriterionConfig:
    """Weights of the loss terms in the total; the defaults are the official ones.

    Attributes:
        ce: Of the focal loss of the classes.
        bbox: Of the L1 distance of the boxes.
        giou: Of the generalised IoU of the boxes.
        mask: Of the focal loss of the masks.
        dice: Of the Dice loss of the masks.
        match_costs: By which queries and instances are matched.
    """

    ce: float = 2.0
    bbox: float = 5.0
    giou: float = 2.0
    mask: float = 2.0
    dice: float = 5.0
    match_costs: MatchCosts = field(default_factory=MatchCosts)


@dataclass(frozen=True)
class AdversarialConfig:
    """The adversarial game; the paper leaves open every number.

    Attributes:
        enabled: False trains without (the third row of the paper's Table 3).
        weight: Of the encoder's part in the model's total loss.
        l1_weight: lambda_1 of Eq. 6.
        learning_rate: Of the discriminator's AdamW, constant.
        betas: Of the discriminator's AdamW, as in pix2pix.
    """

    enabled: bool = True
    weight: float = 0.1
    l1_weight: float = 1.0
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
