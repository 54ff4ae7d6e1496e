"""The verb `submit`: results as the zip that an evaluation server takes."""

import argparse

from mssts.data.video_set import load_video_set
from mssts.evaluate.results_file import load_results
from mssts.evaluate.submission import ENTRY, write_submission


def run_submission(options: argparse.Namespace) -> int:
    """Check the results, write the zip, and print its size and what is seldom meant.

    Raises:
        BadInputError: The set or the results cannot be used.
        ResourceError: The zip cannot be written.
    """
    videos = load_video_set(options.data, options.split)
    results = load_results(options.results, videos)
    written = write_submission(results, videos, options.out, name=str(options.results))
    sizes = f"{written.size / 1e6:.1f} MB ({ENTRY}: {written.unpacked_size / 1e6:.1f} MB)"
    print(f"wrote {options.out}: {written.num_results} results for {len(videos.videos)} videos, {sizes}")
    for note in written.notes:
        print(f"note: {note}")
    return 0
