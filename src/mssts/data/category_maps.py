"""Which class slot each category of a set's file takes when the slots are those of another set."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from mssts.config import Category
from mssts.data.categories import YOUTUBE_VIS_2019, YOUTUBE_VIS_2021

Entry = tuple[int, str]
"""A category in a file: id and name."""


class Counterpart(NamedTuple):
    """A COCO category's name, and the ids of what it is taken for in YouTube-VIS 2019 and 2021, if anything."""

    name: str
    id_2019: int | None
    id_2021: int | None


# The ids of the official joint training, but for three places.
# 74: for 2019 the official map sends it to 24, a fox: a mistake, so it has no counterpart there.
# 35 (both sets) and 34 (2021 alone, which knows flying discs) are ours: skis as snowboards, frisbees as flying discs.
COCO_COUNTERPARTS = {
    1: Counterpart("person", 1, 26),
    2: Counterpart("bicycle", 21, 23),  # as motorbikes
    3: Counterpart("car", 6, 5),
    4: Counterpart("motorcycle", 21, 23),
    5: Counterpart("airplane", 28, 1),
    7: Counterpart("train", 17, 36),
    8: Counterpart("truck", 29, 37),
    9: Counterpart("boat", 34, 4),
    16: Counterpart("bird", None, 3),
    17: Counterpart("cat", 14, 6),
    18: Counterpart("dog", 8, 9),
    19: Counterpart("horse", 18, 19),
    21: Counterpart("cow", 15, 7),
    22: Counterpart("elephant", 32, 12),
    23: Counterpart("bear", 20, 2),
    24: Counterpart("zebra", 30, 40),
    25: Counterpart("giraffe", 22, 18),
    34: Counterpart("frisbee", None, 14),
    35: Counterpart("skis", 33, 31),
    36: Counterpart("snowboard", 33, 31),
    41: Counterpart("skateboard", 5, 29),
    42: Counterpart("surfboard", 27, 33),
    43: Counterpart("tennis racket", 40, 34),
    74: Counterpart("mouse", None, 24),  # a computer mouse, as the official map for 2021 has it
}
COCO_TO_YOUTUBE_VIS_2019 = {id_: entry.id_2019 for id_, entry in COCO_COUNTERPARTS.items() if entry.id_2019}
COCO_TO_YOUTUBE_VIS_2021 = {id_: entry.id_2021 for id_, entry in COCO_COUNTERPARTS.items() if entry.id_2021}


def slots_of(entries: Sequence[Entry], categories: Sequence[Category]) -> dict[int, int]:
    """Map the category ids of a file to class slots, as far as there are counterparts.

    COCO's ids go by the official maps where the slots hold the categories of YouTube-VIS 2019 or 2021 under their
    official ids; all else goes by name.

    Args:
        entries: The file's categories.
        categories: Of the slots.
    """
    official = _official_list(categories)
    if official is None or not _is_coco(entries):
        return map_by_name(entries, categories)
    names, ids = official
    slot_of = {category.id: category.slot for category in categories}
    by_id = {id_: slot_of[ids[id_]] for id_, _ in entries if id_ in ids}
    # A name that both lists have can mean two things (mouse), so names only serve categories beyond the official ones.
    return map_by_name(entries, [category for category in categories if category.name not in names]) | by_id


def map_by_name(entries: Iterable[Entry], categories: Iterable[Category]) -> dict[int, int]:
    """Map ids to the slots of the categories of the same name; case, blanks, hyphens and underscores do not matter.

    Categories that agree in the id too go first, for sets that use a name twice.
    """
    known = tuple(categories)
    exact = {(category.id, category.name): category.slot for category in known}
    by_name = {_plain(category.name): category.slot for category in reversed(known)}
    slots = {id_: exact.get((id_, name), by_name.get(_plain(name))) for id_, name in entries}
    return {id_: slot for id_, slot in slots.items() if slot is not None}


def _plain(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())


def _is_coco(entries: Sequence[Entry]) -> bool:
    """Whether the ids mean what they mean in COCO."""
    names = [(name, COCO_COUNTERPARTS[id_].name) for id_, name in entries if id_ in COCO_COUNTERPARTS]
    return bool(names) and all(_plain(found) == _plain(expected) for found, expected in names)


def _official_list(categories: Sequence[Category]) -> tuple[list[str], Mapping[int, int]] | None:
    """The official list that the slots hold, with COCO's map to it."""
    present = {(category.id, category.name) for category in categories}
    for names, ids in (
        (YOUTUBE_VIS_2019, COCO_TO_YOUTUBE_VIS_2019),
        (YOUTUBE_VIS_2021, COCO_TO_YOUTUBE_VIS_2021),
    ):
        if present.issuperset(enumerate(names, start=1)):
            return names, ids
    return None
