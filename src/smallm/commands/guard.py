"""What a verb raises, as a message and an exit code: 2 for the user's mistake, 1 for our fault, 130 on Ctrl-C."""

from __future__ import annotations

import errno
import functools
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

import typer

from smallm.core.errors import SmallmError


def guarded(verb: Callable[..., None]) -> Callable[..., None]:
    """Turn what a verb raises into a message and an exit code."""

    @functools.wraps(verb)
    def call(*args: Any, **options: Any) -> None:
        try:
            verb(*args, **options)
        except SmallmError as error:
            print(f"error: {error}", file=sys.stderr)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            print("\nStopped.", file=sys.stderr)
            raise typer.Exit(130) from None
        except BrokenPipeError:  # the reader of our stdout left (| head)
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except typer.Exit:
            raise
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
                raise _our_fault() from None
            print(
                f"error: {error.filename or 'a file'}: {error.strerror}. What was finished before is whole; "
                "make room or choose another place, and run the same command again.",
                file=sys.stderr,
            )
            raise typer.Exit(2) from None
        except Exception:
            raise _our_fault() from None

    return call


def _our_fault() -> typer.Exit:
    traceback.print_exc()
    print(
        "\nerror: this is smallm's fault, not yours. Please report the lines above with the command "
        "and `smallm doctor --json`.",
        file=sys.stderr,
    )
    return typer.Exit(1)
