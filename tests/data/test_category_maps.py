from mssts.config import Category
from mssts.data.categories import YOUTUBE_VIS_2019, YOUTUBE_VIS_2021, contiguous_categories, official_categories
from mssts.data.category_maps import map_by_name, slots_of

# Of COCO, by its official ids.
COCO = [(1, "person"), (2, "bicycle"), (3, "car"), (16, "bird"), (34, "frisbee"), (35, "skis"), (43, "tennis racket")]
COCO += [(62, "chair"), (74, "mouse")]


def named(entries: list[tuple[int, str]], categories: tuple[Category, ...]) -> dict[str, str]:
    """Names instead of ids and slots."""
    names, slots = dict(entries), {category.slot: category.name for category in categories}
    return {names[id_]: slots[slot] for id_, slot in slots_of(entries, categories).items()}


def test_coco_in_the_official_layouts() -> None:
    assert named(COCO, official_categories(YOUTUBE_VIS_2019)) == {
        "person": "person",
        "bicycle": "motorbike",
        "car": "sedan",
        "skis": "snowboard",
        "tennis racket": "tennis_racket",  # and no mouse, which is an animal there
    }
    assert named(COCO, official_categories(YOUTUBE_VIS_2021)) == {
        "person": "person",
        "bicycle": "motorbike",
        "car": "car",
        "bird": "bird",
        "frisbee": "flying_disc",
        "skis": "snowboard",
        "tennis racket": "tennis_racket",
        "mouse": "mouse",
    }


def test_every_official_counterpart_means_the_same() -> None:
    """The whole of both maps, by the names of the things."""
    from mssts.data.category_maps import COCO_COUNTERPARTS

    same_2019, same_2021 = set(), set()
    for entry in COCO_COUNTERPARTS.values():
        if entry.id_2019 is not None:
            same_2019.add((entry.name, YOUTUBE_VIS_2019[entry.id_2019 - 1]))
        if entry.id_2021 is not None:
            same_2021.add((entry.name, YOUTUBE_VIS_2021[entry.id_2021 - 1]))
    assert {pair for pair in same_2019 if pair[0].replace(" ", "_") != pair[1]} == {
        ("bicycle", "motorbike"),
        ("motorcycle", "motorbike"),
        ("car", "sedan"),
        ("skis", "snowboard"),
    }
    assert {pair for pair in same_2021 if pair[0].replace(" ", "_") != pair[1]} == {
        ("bicycle", "motorbike"),
        ("motorcycle", "motorbike"),
        ("frisbee", "flying_disc"),
        ("skis", "snowboard"),
    }
    assert (len(same_2019), len(same_2021)) == (21, 24)


def test_coco_in_a_set_that_adds_to_an_official_list() -> None:
    entries = [*enumerate(YOUTUBE_VIS_2019, start=1), (41, "bird"), (42, "Chair")]
    found = named(COCO, contiguous_categories(entries))
    assert found["car"] == "sedan"
    assert found["bird"] == "bird"
    assert found["chair"] == "Chair"
    assert "mouse" not in found


def test_ids_that_only_look_like_cocos_go_by_name() -> None:
    entries = [(1, "person"), (2, "dog"), (3, "helmet")]
    assert named(entries, official_categories(YOUTUBE_VIS_2019)) == {"person": "person", "dog": "dog"}


def test_names_are_compared_without_case_and_blanks() -> None:
    categories = contiguous_categories([(5, "Giant_panda"), (2, "flying disc")])
    assert map_by_name([(1, "giant panda"), (2, "FLYING-DISC"), (3, "cat")], categories) == {1: 1, 2: 0}


def test_a_set_maps_to_its_own_categories_even_if_a_name_comes_twice() -> None:
    entries = [(7, "cat"), (3, "cat"), (9, "dog")]
    assert map_by_name(entries, contiguous_categories(entries)) == {3: 0, 7: 1, 9: 2}
