"""The verb `data convert`: sets of other forms, or parts of sets, to YouTube-VIS form."""

import argparse

from mssts.data.convert_coco import convert_coco
from mssts.data.convert_davis import convert_davis
from mssts.data.convert_mots import convert_mots
from mssts.data.convert_ytvis import convert_ytvis

CONVERTERS = {"davis": convert_davis, "coco": convert_coco, "mots": convert_mots, "ytvis": convert_ytvis}


def run_data_convert(options: argparse.Namespace) -> int:
    """Convert a set and print what was written and what was left out.

    Raises:
        BadInputError: The source is not of that form or is damaged, or the split exists already.
    """
    counts, notices = CONVERTERS[options.form](
        options.source,
        options.out,
        options.split,
        only=options.only,
        copy=options.copy,
        progress=not options.quiet,
    )
    for line in notices:
        print(line)
    print(counts)
    return 0
