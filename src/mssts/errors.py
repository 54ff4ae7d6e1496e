"""The errors that a user can cause, each with the exit code of the command line.

Every message is one line that names the file and what is wrong with it; `cli.main` prints it without a traceback.
"""


class MsstsError(Exception):
    """Base of all errors that end in one printed line. `exit_code` is what the command line returns."""

    exit_code = 1


class UsageError(MsstsError):
    """Options that do not go together."""

    exit_code = 2


class BadInputError(MsstsError):
    """A source file, folder or data set cannot be read or does not make sense."""

    exit_code = 3


class PartialInputError(MsstsError):
    """The input broke off after some good frames; what was read before stays valid and is kept."""

    exit_code = 4


class ResourceError(MsstsError):
    """The machine gave out: disk full, no permission to write, out of memory."""

    exit_code = 5


class CheckpointError(MsstsError):
    """A checkpoint is missing, damaged, unsafe to load, or does not fit the model."""

    exit_code = 6
