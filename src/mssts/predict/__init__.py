"""From a video file to tracks: reading, windows, linking, writing. Never imports loss or train."""
