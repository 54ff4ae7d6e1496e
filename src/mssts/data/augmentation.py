"""What the augmentation of clips may be told; imports nothing slow, as options are made of it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class AugmentationConfig:
    """The augmentation of clips from files; the defaults are those of the ResNet backbones.

    Attributes:
        enabled: False leaves frames as they are in the file.
        flip: Probability (0..1) of a horizontal flip.
        photometric: Whether colours are distorted.
        short_sides: In pixels, one of which the short side of the frames becomes.
        max_long_side: In pixels, which the long side does not exceed.
        crop: Probability (0..1) of a crop before that.
        crop_short_sides: In pixels, one of which the short side becomes before the crop.
        crop_sides: Least and largest height and width of the crop in pixels.
    """

    enabled: bool = True
    flip: float = 0.5
    photometric: bool = True
    short_sides: tuple[int, ...] = (288, 320, 352, 392, 416, 448, 480, 512)
    max_long_side: int = 768
    crop: float = 0.5
    crop_short_sides: tuple[int, ...] = (400, 500, 600)
    crop_sides: tuple[int, int] = (384, 600)

    def __post_init__(self) -> None:
        """Refuse what no clip can be made with.

        Raises:
            ValueError: Names the field.
        """
        for name in ("flip", "crop"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, must be a probability (0..1)")
        for name in ("short_sides", "crop_short_sides", "crop_sides"):
            if not getattr(self, name) or min(getattr(self, name)) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, must be lengths in pixels, 1 or more")
        if self.crop_sides[0] > self.crop_sides[1]:
            raise ValueError(f"crop_sides is {self.crop_sides}, must be the least and the largest")
        if self.max_long_side < 1:
            raise ValueError(f"max_long_side is {self.max_long_side}, must be at least 1")
