"""Errors: one neat message with place and mend, the right exit code, a document with --json, never a traceback."""

from __future__ import annotations

import json

import pytest

from lakehouse import errors
from lakehouse.cli import output
from lakehouse.model import Finding, Level


def test_no_project_could_not_run(lakehouse, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = lakehouse("status")
    assert ran.code == 1
    assert ran.out == ""
    assert "no lakehouse project here" in ran.err
    assert "hint:" in ran.err
    assert "Traceback" not in ran.err


def test_no_lake_is_a_refusal_and_json_is_one_document(lakehouse, fleet):
    ran = lakehouse("status", "--json")
    assert ran.code == 3
    told = json.loads(ran.out)["error"]
    assert told["message"] == "no lake here"
    assert told["exit_code"] == 3
    assert told["where"] == str(fleet / ".lake")


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["status", "--nonsense"], ["ingest"], ["demo", "--rows", "few"], ["init", "x"]]
)
def test_wrong_usage_is_two(lakehouse, fleet, arguments):
    ran = lakehouse(*arguments)
    assert ran.code == 2
    assert ran.out == ""


def test_an_unknown_table_names_the_nearest(lakehouse, fleet):
    ran = lakehouse("quarantine", "list", "tripp")
    assert ran.code == 2
    assert "did you mean `staged.fleet.trip`?" in ran.err


def test_ctrl_c_is_quiet(lakehouse, fleet, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("lakehouse.settings.load_settings", interrupt)
    ran = lakehouse("status")
    assert (ran.code, ran.out, ran.err) == (output.INTERRUPTED, "", "")


@pytest.mark.parametrize(
    "kind",
    [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.LakehouseError)],
)
def test_every_error_ends_with_its_exit_code(lakehouse, fleet, monkeypatch, kind):
    finding = Finding("code", Level.ERROR, "file.yaml:3", "something [bold]is[/] off", "mend it")
    error = (
        kind([finding])
        if kind in {errors.ContractError, errors.PolicyError}
        else kind("something [bold]is[/] off", where="here", hint="mend it")
    )

    def fail(*_, **__):
        raise error

    monkeypatch.setattr("lakehouse.settings.load_settings", fail)
    ran = lakehouse("status")
    assert ran.code == kind.exit_code
    assert "something [bold]is[/] off" in ran.err
    assert "hint: mend it" in ran.err
    assert json.loads(lakehouse("status", "--json").out)["error"]["exit_code"] == kind.exit_code
