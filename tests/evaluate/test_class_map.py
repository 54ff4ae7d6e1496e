"""Which class of a model is which category of a set."""

from dataclasses import replace
from pathlib import Path

import pytest

from mssts.config import Category, preset
from mssts.data.video_set import VideoSet
from mssts.errors import BadInputError
from mssts.evaluate.class_map import map_classes


def truth(*categories: tuple[int, str]) -> VideoSet:
    return VideoSet(Path("gt.json"), Path(), (), (), categories, has_truth=False)


def model(*categories: Category):
    return replace(preset("tiny"), categories=categories)


def test_names_decide_not_ids():
    classes = map_classes(
        model(Category(0, 2, "Giant_Panda"), Category(5, 1, "dog")), truth((1, "giant panda"), (2, "cat"), (3, "dog"))
    )
    assert classes.ids == {0: 1, 5: 3}
    assert classes.unknown == ("cat",)


def test_classes_without_names_go_by_id():
    assert map_classes(model(Category(4, 2, "")), truth((1, "cat"), (2, "dog"))).ids == {4: 2}


def test_a_model_that_names_nothing_has_the_official_layout():
    classes = map_classes(model(), truth((1, "cat"), (7, "dog"), (30, "cow")))
    assert classes.ids == {1: 1, 7: 7}
    assert classes.unknown == ("cow",)


def test_nothing_in_common_is_refused():
    with pytest.raises(BadInputError, match=r"^gt.json: none of its categories .* \(bird\)$"):
        map_classes(model(Category(0, 1, "bird")), truth((1, "cat")))
