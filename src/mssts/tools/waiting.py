"""How long PyTorch's threads stay busy behind an operation, waiting for the next one."""

import os

# Rounds of GNU's OpenMP, in which PyTorch's wheels run: about a quarter of a millisecond. Its own choice is 60 times as
# long, and for all of it a waiting thread takes a core from this package's kernels, which have threads of their own.
ROUNDS = "5000"
CHOSEN_BY_USER = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def wait_shortly() -> None:
    """Let waiting threads sleep soon. Has to come before torch is imported, and only programs should call it."""
    if not any(name in os.environ for name in CHOSEN_BY_USER):
        os.environ["GOMP_SPINCOUNT"] = ROUNDS
