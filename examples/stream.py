"""Print the tracks of a video while it is being read: `python examples/stream.py VIDEO [MODEL]`."""

import sys

import mssts


def main() -> None:
    """Stream a video through a model and tell when a track appears for the first time."""
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    source = sys.argv[1]
    model = mssts.load(sys.argv[2] if len(sys.argv) > 2 else "tiny")
    known: set[int] = set()
    for frame in model.predict(source, stream=True):
        for track_id, label, score in zip(frame.track_ids, frame.labels, frame.scores, strict=True):
            if track_id not in known:
                known.add(track_id)
                print(f"{frame.time_s:7.2f} s  track {track_id}: {model.names[label]} ({score:.2f})")


if __name__ == "__main__":
    main()
