"""The verb `convert`: official weights in, our model file out."""

import json
from dataclasses import replace
from pathlib import Path

from mssts.checkpoint import FILE_NAME, save_model
from mssts.config import Category, preset, preset_names
from mssts.data.categories import NAMED_LISTS, official_categories
from mssts.errors import BadInputError, CheckpointError
from mssts.tools.convert_seqformer import convert, infer_config, read_official, rename_keys

OFFICIAL_SLOTS = 42


def run_convert(official: Path, out: Path, categories: str | None, preset_name: str | None) -> int:
    """Convert a checkpoint into a folder and print what happened to every key that was not simply renamed."""
    state = read_official(official)
    try:
        baseline = infer_config(rename_keys(state)[0])
        config = baseline
        if preset_name:
            if preset_name not in preset_names():
                raise BadInputError(f"no preset '{preset_name}'; there are {', '.join(preset_names())}")
            wanted = preset(preset_name)
            config = replace(baseline, ms_sts=wanted.ms_sts, temporal_decoder=wanted.temporal_decoder)
        names, notice = find_categories(categories, baseline.num_class_slots)
        conversion = convert(state, names, config)
    except CheckpointError as error:
        raise CheckpointError(f"{official}: {error}") from error
    for line in [*notice, *conversion.notices]:
        print(line)
    save_model(conversion.model, out / FILE_NAME)
    print(f"wrote {out / FILE_NAME} ({len(names)} categories, {baseline.num_class_slots} class slots)")
    return 0


def find_categories(choice: str | None, num_slots: int) -> tuple[tuple[Category, ...], list[str]]:
    """What the class slots mean, and what the user should know about it.

    The official files do not say which data set they were trained on; its ids are the slots in any case.

    Raises:
        BadInputError: The choice is neither a known list nor a readable annotation file, or its ids do not fit.
    """
    notice = []
    if choice is None:
        if num_slots != OFFICIAL_SLOTS:
            return (), [f"the {num_slots} class slots have no names; give --categories ANNOTATIONS.json to name them"]
        choice = "ytvis2019"
        notice = ["class names: YouTube-VIS 2019 assumed; for weights of the 2021 set give --categories ytvis2021"]
    categories = official_categories(NAMED_LISTS[choice]) if choice in NAMED_LISTS else _read_categories(Path(choice))
    too_large = [category.id for category in categories if not 0 <= category.slot < num_slots]
    if too_large:
        raise BadInputError(f"{choice}: category ids {too_large[:5]} do not fit {num_slots} class slots")
    return categories, notice


def _read_categories(path: Path) -> tuple[Category, ...]:
    """The categories of an annotation file, in the official layout (slot = id)."""
    try:
        entries = json.loads(path.read_text())["categories"]
        return tuple(Category(int(entry["id"]), int(entry["id"]), str(entry["name"])) for entry in entries)
    except OSError as error:
        known = ", ".join(NAMED_LISTS)
        raise BadInputError(f"{path}: cannot be read ({error.strerror}), and is not one of {known}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BadInputError(f"{path}: holds no list of categories with id and name ({error!r})") from error
