"""The errors a user is meant to read: one line that names the file, what was expected and what to do."""

import difflib


class VQRecError(ValueError):
    """Bad input or a wrong setting; the message is complete and needs no traceback."""


class UnavailableError(VQRecError):
    """What the work needs is not to be had: a file is missing or damaged, a folder cannot be written, a model read."""


class PresentError(VQRecError):
    """What is to be added is there already."""


class AbsentError(VQRecError):
    """What is asked for, or to be removed, is not there."""


def nearest(name, valid_names):
    """Return ", did you mean 'x'?" for the valid name closest to `name`, or "" where none is close.

    Args:
        name (str): what the user wrote.
        valid_names (iterable of str): what would have been accepted.
    """
    lower = {valid.lower(): valid for valid in valid_names}
    close = difflib.get_close_matches(str(name).lower(), lower, n=1, cutoff=0.6)
    return f", did you mean '{lower[close[0]]}'?" if close else ""


def refuse_other(option, value, valid):
    """Refuse a value of an option that is none of the valid ones.

    Args:
        option (str): its name.
        value: what the user gave.
        valid (iterable of str): what would be accepted, in the order of the message.

    Raises:
        VQRecError: names the nearest valid one.
    """
    if value not in valid:
        raise VQRecError(f"{option}: '{value}' is none of {', '.join(valid)}{nearest(value, valid)}")


def foreign_data_set(option, what):
    """Return the error of a data set that is RecBole's own and lacks what an option needs.

    Args:
        option (str): its name.
        what (str): what it needs, "the training split" for example.
    """
    return VQRecError(
        f"{option} needs {what} of a data set of this package; build it with recbole_vqrec, or call register()"
    )


def examples(names, limit=3):
    """Return the first names for a message: "a, b, c and 12 more"."""
    names = [str(name) for name in names]
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit:,} more"
