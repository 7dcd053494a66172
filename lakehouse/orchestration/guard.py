"""What leaves a failing step: our own errors as they are, engines' errors without their text.

An engine's message may quote a cell ("could not convert 'x' to int"), and Dagster stores and shows every message for
ever. Here such an error becomes its kind and place only (invariant 4: no value outside).
"""

import traceback
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from typing import cast

import dagster as dg
import duckdb
import polars as pl

from lakehouse.errors import LeaseTakenError, StorageError

#: Errors whose message may quote a cell. pyarrow's are ValueError, TypeError and KeyError too; its own base names them all.
ENGINE_ERRORS: tuple[type[Exception], ...] = (
    pl.exceptions.PolarsError,
    cast("type[Exception]", import_module("pyarrow").ArrowException),
    duckdb.Error,
)
#: How often and how soon a step tries again when somebody else works on its table.
LEASE_RETRIES, LEASE_WAIT_SECONDS = 6, 5


@contextmanager
def no_values_in_errors(where: str) -> Generator[None]:
    """Turn engines' errors into value-free ones, and a taken lease into a later attempt.

    Raises:
        StorageError: an engine failed; only the kind of error and the platform's line are told.
    """
    try:
        yield
    except LeaseTakenError as error:
        raise dg.RetryRequested(max_retries=LEASE_RETRIES, seconds_to_wait=LEASE_WAIT_SECONDS) from error
    except ENGINE_ERRORS as error:
        # `from None`: the cause's message would be stored with ours.
        raise StorageError(
            f"`{type(error).__module__}.{type(error).__name__}` at {_place(error)}; its text may hold values and is withheld",
            where=where,
            hint="run the step in a debugger on a machine that may see the data",
        ) from None


def _place(error: BaseException) -> str:
    """The last line of the platform or the project that the error passed through."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "site-packages" not in frame.filename] or list(frames)
    return f"`{own[-1].filename.rsplit('/', 1)[-1]}:{own[-1].lineno}`"
