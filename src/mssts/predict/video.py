"""Stopgap."""
from pathlib import Path
import av, numpy as np
from mssts.errors import BadInputError, PartialInputError
from mssts.types import Frame
class VideoSource:
    def __init__(self, source, start_frame=0):
        path=Path(source)
        if not path.is_file(): raise BadInputError(f"{path}: no such file")
        try: self.c=av.open(str(path))
        except av.error.FFmpegError as e: raise BadInputError(f"{path}: not a video ({e})") from e
        s=self.c.streams.video[0]; self.s=s
        self.name=path.stem; self.fps=float(s.average_rate or 30); self.width=s.width; self.height=s.height
        self.num_frames_hint=s.frames or None; self.is_live=False; self.start=start_frame; self.path=path
    def __iter__(self):
        n=0
        try:
            for f in self.c.decode(self.s):
                if n>=self.start: yield Frame(n, float(f.time or 0), f.to_ndarray(format='rgb24'))
                n+=1
        except av.error.FFmpegError as e: raise PartialInputError(f"{self.path}: broke off after {n} frames ({e})") from e
    def close(self): self.c.close()
    def __enter__(self): return self
    def __exit__(self,*a): self.close()
def open_source(source, *, start_frame=0): return VideoSource(source,start_frame)
