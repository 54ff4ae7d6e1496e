"""Compiles functions to machine code with Numba when their module is first imported; needs no torch."""

import pickle
from collections.abc import Callable
from typing import Any

from numba import njit
from numba.core.typing.templates import Signature


def compile_now(signature: str | Signature, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile a function at once for the given Numba types; it runs without the interpreter lock.

    The compiled code is kept beside the file or in the user's cache folder, where one can be written.
    """
    options = {"nogil": True, "error_model": "numpy", **options}

    def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
        """Compile with the cache, or without it where its files are damaged or cannot be written."""
        try:
            return njit(signature, cache=True, **options)(function)
        except (RuntimeError, OSError, EOFError, pickle.UnpicklingError):
            return njit(signature, **options)(function)

    return compiled
