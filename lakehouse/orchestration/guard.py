"""What leaves a failing step: our own errors as they are, all others without their text.

An engine's message may quote a cell ("could not convert 'x' to int"), and so may Python's; Dagster stores and shows every
message for ever. Here such an error becomes its kind and place only (invariant 4: no value outside).
"""

from collections.abc import Generator
from contextlib import contextmanager

import dagster as dg
from dagster_shared.error import DagsterError

from lakehouse.errors import LakehouseError, LeaseTakenError, of_system, withheld

#: How often and how soon a step tries again when somebody else works on its table.
LEASE_RETRIES, LEASE_WAIT_SECONDS = 6, 5


@contextmanager
def no_values_in_errors(where: str) -> Generator[None]:
    """Turn errors that are not ours into value-free ones, and a taken lease into a later attempt.

    Raises:
        StorageError: something else failed; only the kind of error and the project's line are told.
    """
    try:
        yield
    except LeaseTakenError as error:
        raise dg.RetryRequested(max_retries=LEASE_RETRIES, seconds_to_wait=LEASE_WAIT_SECONDS) from error
    except (LakehouseError, dg.Failure, dg.RetryRequested, DagsterError):
        raise
    except Exception as error:  # noqa: BLE001 - INVARIANT: whatever it is, its message would be stored with the run
        # `from None`: so would the cause's.
        raise of_system(error, where=where) or withheld(error, where=where) from None
