"""What can go wrong, by whose fault it is.

    SmallmError
    ├── UserError          the user's mistake: message without traceback, exit 2
    └── TrainingDiverged   a non-finite loss: message without traceback, exit 1

A message says what was wrong, where (file, line, key), the rule, and what to do.
"""

from __future__ import annotations


class SmallmError(Exception):
    """Base of every error that smallm raises on purpose."""

    exit_code = 1


class UserError(SmallmError):
    """Bad input: a file, a key, a value, a machine too small. Exit 2, no traceback."""

    exit_code = 2


class TrainingDiverged(SmallmError):  # noqa: N818 (what happened, not whose error)
    """The loss or the gradient became NaN or infinite; nothing poisoned was written."""

    exit_code = 1
