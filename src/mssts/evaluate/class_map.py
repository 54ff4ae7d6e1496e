"""Which class slot of a model is which category of a data set."""

from typing import NamedTuple

from mssts.config import Category, ModelConfig
from mssts.data.video_set import VideoSet
from mssts.errors import BadInputError


class ClassMap(NamedTuple):
    """The data set's category id of each class slot that it knows, and the names of those that no slot means."""

    ids: dict[int, int]
    unknown: tuple[str, ...]


def map_classes(config: ModelConfig, truth: VideoSet) -> ClassMap:
    """Find the categories of a set among a model's classes: by name, or by id for classes without a name.

    A model that names no classes is taken to have the official layout, where the class slot is the category id.

    Raises:
        BadInputError: They have no category in common.
    """
    by_name = {_key(name): category_id for category_id, name in reversed(truth.categories)}
    known_ids = {category_id for category_id, _ in truth.categories}
    ids: dict[int, int] = {}
    for category in config.categories or [Category(slot, slot, "") for slot in range(config.num_class_slots)]:
        if category.name:
            category_id = by_name.get(_key(category.name))
        else:
            category_id = category.id if category.id in known_ids else None
        if category_id is not None:
            ids[category.slot] = category_id
    if not ids:
        names = ", ".join(category.name for category in config.categories[:3])
        raise BadInputError(f"{truth.path}: none of its categories is among the model's classes ({names or 'unnamed'})")
    found = set(ids.values())
    return ClassMap(ids, tuple(name for category_id, name in truth.categories if category_id not in found))


def _key(name: str) -> str:
    """A name as it is compared: public sets write giant_panda, Giant Panda and giant-panda."""
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())
