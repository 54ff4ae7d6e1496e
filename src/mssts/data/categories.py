"""The category lists of the public data sets, for checkpoints whose file does not name its classes."""

from collections.abc import Sequence

from mssts.config import Category

YOUTUBE_VIS_2019 = [
    "person",
    "giant_panda",
    "lizard",
    "parrot",
    "skateboard",
    "sedan",
    "ape",
    "dog",
    "snake",
    "monkey",
    "hand",
    "rabbit",
    "duck",
    "cat",
    "cow",
    "fish",
    "train",
    "horse",
    "turtle",
    "bear",
    "motorbike",
    "giraffe",
    "leopard",
    "fox",
    "deer",
    "owl",
    "surfboard",
    "airplane",
    "truck",
    "zebra",
    "tiger",
    "elephant",
    "snowboard",
    "boat",
    "shark",
    "mouse",
    "frog",
    "eagle",
    "earless_seal",
    "tennis_racket",
]
YOUTUBE_VIS_2021 = [
    "airplane",
    "bear",
    "bird",
    "boat",
    "car",
    "cat",
    "cow",
    "deer",
    "dog",
    "duck",
    "earless_seal",
    "elephant",
    "fish",
    "flying_disc",
    "fox",
    "frog",
    "giant_panda",
    "giraffe",
    "horse",
    "leopard",
    "lizard",
    "monkey",
    "motorbike",
    "mouse",
    "parrot",
    "person",
    "rabbit",
    "shark",
    "skateboard",
    "snake",
    "snowboard",
    "squirrel",
    "surfboard",
    "tennis_racket",
    "tiger",
    "train",
    "truck",
    "turtle",
    "whale",
    "zebra",
]
NAMED_LISTS = {"ytvis2019": YOUTUBE_VIS_2019, "ytvis2021": YOUTUBE_VIS_2021}


def official_categories(names: Sequence[str]) -> tuple[Category, ...]:
    """The official weights' layout: the file's category id, counted from 1, is the class slot; slot 0 is unused."""
    return tuple(Category(slot=index, id=index, name=name) for index, name in enumerate(names, start=1))


def contiguous_categories(entries: Sequence[tuple[int, str]]) -> tuple[Category, ...]:
    """Our layout for (id, name) pairs of a data set: slots count from 0 in the order of the ids."""
    return tuple(Category(slot, id_, name) for slot, (id_, name) in enumerate(sorted(entries)))
