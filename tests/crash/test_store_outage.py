"""A store that is busy, broken, silent or lost between request and answer: an ingest ends well or clearly, and is repeated.

Every kind of fault at every kind of request, once (the clients try again) and for good (they give up): then one more run
gives the rows of an undisturbed one, exactly once, and nothing half done.
"""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from lakehouse import storage
from lakehouse.errors import LakehouseError, of_system, withheld
from lakehouse.storage import s3, worm
from tests.attacks import worm_store
from tests.crash import aftermath
from tests.faulty_store import BROKEN, BUSY, CLOSED, LATE, LOST, faulty
from tests.integration import rebuild_domain as shop

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.s3, pytest.mark.slow]

NOW = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
TABLE = shop.sale_table()
FILE = (
    "a.csv",
    shop.HEADER + "1,5,2011-01-01,1,SECRET\n2,5,2011-01-02,2,y\n3,6,2011-02-01,bad,z\n4,7,2011-02-03,4,z\n",
)
FOR_GOOD = 10**9
DELAY = 1.5

#: A request of each kind that an ingest makes, by method and key.
REQUESTS = {
    "raw file": r"PUT .*/raw/shop/sale/0",
    "staged file": r"PUT .*/staged/shop/sale/0",
    "quarantine file": r"PUT .*/quarantine/shop/sale/0",
    "raw log": r"PUT .*/raw/shop/sale/_delta_log/\d+\.json$",
    "staged log": r"PUT .*/staged/shop/sale/_delta_log/\d+\.json$",
    "ledger log": r"PUT .*/system/ledger/_delta_log/\d+\.json$",
    "lock of the log": r"PUT .*\?retention",
    "chain entry": r"PUT .*/chains/raw/",
    "size of a raw file": r"HEAD .*/raw/shop/sale/0",
    "log read": r"GET .*/raw/shop/sale/_delta_log/0+\.json",
    "last checkpoint": r"GET .*/raw/shop/sale/_delta_log/_last_checkpoint",
    "list of the log": r"GET .*list-type=2&prefix=raw.*_delta_log",
    "list of raw": r"GET .*list-type=2&prefix=raw%2Fshop%2Fsale%2F&",
    "staged file read": r"GET .*/staged/shop/sale/0",
    "marker": r"GET .*/lake\.json",
}
#: Where the answer is lost after the store has done it, or comes too late: where something is written.
WRITTEN = [name for name, pattern in REQUESTS.items() if pattern.startswith("PUT")]
NAMES = list(REQUESTS)
ONCE = [
    *((tuple(NAMES[start::4]), (BUSY, CLOSED)) for start in range(4)),
    *(((name,), (LOST,)) for name in WRITTEN),
    *(((name,), (LATE, BROKEN)) for name in ("raw file", "raw log")),
]
OUTAGES = list(zip([*WRITTEN, "log read", "staged file read"], [BUSY, CLOSED] * 5, strict=True))


@pytest.fixture(scope="module")
def fault(versitygw):
    with faulty(versitygw.endpoint, delay=DELAY) as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def _hurried(fault, s3, monkeypatch):
    """Clients that find the proxy, and wait for tenths of what they wait for in earnest."""
    from lakehouse.storage import s3 as edge

    fault.calm()
    monkeypatch.setenv("AWS_ENDPOINT_URL", fault.endpoint)
    for name, value in (("CONNECT_SECONDS", 1), ("READ_SECONDS", 0.7)):
        monkeypatch.setattr(edge, name, value)
    hasty = {"backoff_config.init_backoff": "20ms", "backoff_config.max_backoff": "100ms", "max_retries": "3"}
    monkeypatch.setattr(
        edge, "DELTA_PATIENCE", {"timeout": "700ms", "connect_timeout": "1s", "retry_timeout": "2s", **hasty}
    )
    monkeypatch.setattr(edge, "SCAN_PATIENCE", {"max_retries": 1, "retry_timeout_ms": 1_000})
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.05)
    monkeypatch.setattr(edge, "_clients", {})
    monkeypatch.setattr(edge, "_silent", {})


@pytest.fixture(scope="module")
def wanted(tmp_path_factory):
    """What an undisturbed ingest gives."""
    lake = storage.create_lake(storage_settings(tmp_path_factory.mktemp("undisturbed")))
    shop.take(lake, TABLE, NOW, FILE)
    storage.flush_outbox(lake)
    found = aftermath.picture(lake, TABLE)
    lake.control.dispose()
    return found


def storage_settings(folder: Path):
    from lakehouse.settings import load_settings

    return load_settings(worm_store.ROOT, lake=str(folder / "lake"))


@pytest.fixture
def own(versitygw, tmp_path):
    made = worm_store.make(versitygw, tmp_path, filled=False)
    yield made
    made.lake.control.dispose()


def run(own) -> LakehouseError | None:
    """One ingest, as the command would do it; what it ended with."""
    opened = None
    try:
        opened = storage.open_lake(worm_store.settings_of(own.environment))
        shop.take(opened, TABLE, NOW, FILE)
        storage.flush_outbox(opened)
    except LakehouseError as error:
        return error
    except OSError as error:  # polars reads by itself; the command line and Dagster's guard tell of it like this
        told = of_system(error)
        assert told is not None
        return told
    finally:
        if opened is not None:
            opened.control.dispose()
    return None


def require_same(own, wanted) -> None:
    aftermath.require_same(aftermath.picture(own.lake, TABLE), wanted)
    aftermath.require_clean(own.lake, TABLE)
    assert worm.verify(own.lake).findings == ()


@pytest.mark.parametrize(("names", "kinds"), ONCE)
def test_one_fault_is_gone_with_the_next_attempt_or_the_next_run(fault, own, wanted, names, kinds):
    fault.disturb_all([REQUESTS[name] for name in names], *kinds)
    trouble = run(own)
    fired = fault.calm()
    assert fired == len(names) * len(kinds) or (trouble is not None and fired), "no such request"
    if trouble is not None:
        require_clear(trouble)
        assert run(own) is None
    require_same(own, wanted)


@pytest.mark.parametrize(("request_", "kind"), OUTAGES)
def test_an_outage_ends_clearly_and_one_more_run_makes_it_good(fault, own, wanted, request_, kind):
    fault.disturb(REQUESTS[request_], kind, times=FOR_GOOD)
    trouble = run(own)
    assert fault.calm() > 1, "no such request, or it was not tried again"
    if trouble is not None:
        require_clear(trouble)
    assert run(own) is None
    require_same(own, wanted)


@pytest.mark.parametrize("nth", [1, 12, 40])
def test_a_store_that_is_gone_from_some_request_on(fault, own, wanted, nth):
    fault.disturb("", CLOSED, nth=nth, times=FOR_GOOD)
    trouble = run(own)
    assert trouble is not None
    require_clear(trouble)
    fault.calm()
    assert run(own) is None
    require_same(own, wanted)


def require_clear(error: LakehouseError) -> None:
    """An error of ours with a remedy, that shows no value and is not one of code."""
    text = f"{error}"
    assert error.exit_code == 1, text
    assert error.hint, text
    assert "SECRET" not in text
    assert withheld(error).hint not in text, text


def test_the_command_ends_with_one_and_a_hint(fault, own, tmp_path):
    import os

    fault.disturb(r"PUT .*/raw/", BUSY, times=FOR_GOOD)
    file = tmp_path / "2011-01-01.csv"
    file.write_text("InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
                    "536365,S1,SECRET,6,2011-01-01 08:26:00,2.55,12346.0,France\n")  # fmt: skip
    command = [sys.executable, "-m", "lakehouse.cli", "ingest", "retail.invoice_line", str(file)]
    variables = {**os.environ, **own.environment, "PYTHONPATH": str(worm_store.ROOT)}
    ran = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    told = ran.stdout + ran.stderr
    assert ran.returncode == 1, told
    assert "the S3 store refused, or did not answer (SlowDown)" in told, told
    assert "hint:" in told
    assert "Traceback" not in told
    assert "SECRET" not in told


def test_patience_in_earnest_is_about_a_minute():
    """Longest waits for a store that takes requests and says nothing; measured with a silent proxy, see docs/stores.md."""
    assert (s3.CONNECT_SECONDS + s3.READ_SECONDS) * s3._ATTEMPTS <= 80
