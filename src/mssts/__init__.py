"""mssts: video instance segmentation with MS-STS VIS. `mssts.load(name)` gives a model, `model.predict(video)` tracks.

Importing this package does not import torch; that happens at the first use of `load` or `Segmenter`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mssts.api import Segmenter, load

__all__ = ["Segmenter", "load"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import the API on first use (PEP 562), so that `mssts --help` answers at once."""
    if name in __all__:
        from mssts import api

        return getattr(api, name)
    raise AttributeError(f"module 'mssts' has no attribute '{name}'")
