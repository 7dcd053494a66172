"""`lakehouse explain-access` in a project of its own: what it prints, its JSON, names that do not exist, and `check`'s hint."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

FIXTURE = Path(__file__).parents[2] / "policies/fixture/policies"
TABLE = "curated.claims.claim"


@pytest.fixture
def claims(fleet):
    """The project of docs/policy.md: one table, two purposes, three groups."""
    shutil.rmtree(fleet / "policies")
    shutil.copytree(FIXTURE, fleet / "policies")
    return fleet


def readers(ran):
    assert ran.code == 0, ran.err
    return {(each["purpose"], *each["groups"]): each for each in json.loads(ran.out)["readers"]}


def shown(reader):
    return {each["column"]: each["treatment"] for each in reader["columns"]}


def test_a_table_is_a_matrix_with_rows_and_who_is_denied(lakehouse, claims):
    said = lakehouse("explain-access", "claim", "--day", "2027-06-30")
    assert said.code == 0
    assert re.search(r"^email +confidential +clear +token *$", said.out, re.MULTILINE)
    assert re.search(r"^diagnosis +restricted +clear +hide *$", said.out, re.MULTILINE)
    assert "only rows where `region IN ('EU', 'UK')` (policies/domains/claims/access.yaml:" in said.out
    assert "unless also in `eu_staff` (policies/platform.yaml:" in said.out
    assert "denied: may use no purpose\n  eu_staff\n" in said.out


def test_a_column_says_which_rule_decided(lakehouse, claims):
    said = lakehouse("explain-access", f"{TABLE}.diagnosis", "--day", "2027-06-30")
    assert said.code == 0
    assert re.search(r"claims_triage +triage +clear +grant `triage-reads-claims`: `user.health_and_medical: clear`", said.out)  # fmt: skip
    assert "class `restricted` (`user.health_and_medical`) shows `hide` (policies/platform.yaml:" in said.out


def test_places_are_the_lines_where_rules_stand(lakehouse, claims):
    found = readers(lakehouse("explain-access", TABLE, "--json", "--day", "2027-06-30"))
    places = 0
    for reader in found.values():
        for sentence in [*reader["rows"], *(each for column in reader["columns"] for each in column["decided"])]:
            file, line = sentence["where"].rsplit(":", 1)
            text = (claims / file).read_text().splitlines()[int(line) - 1]
            subject = re.search(r"`([\w.]+): [\w()]+`|class `\w+` \(`([\w.]+)`\)", sentence["text"])
            name = next(filter(None, subject.groups())) if subject else sentence["rule"]
            assert name in text, (sentence, text)
            places += 1
    assert places > 10


def test_the_day_after_the_grant_ended_says_so(lakehouse, claims):
    said = json.loads(lakehouse("explain-access", TABLE, "--json", "--day", "2027-07-01").out)
    assert [each["purpose"] for each in said["readers"]] == ["claims_triage"]
    assert {"groups": ["fraud_analysts"], "why": "`fraud_detection`: ended: `fraud-reads-claims` on 2027-06-30"} in said["denied"]  # fmt: skip


def test_a_person_is_all_groups_together(lakehouse, claims):
    day = ("--day", "2027-06-30", "--json")
    ana = readers(lakehouse("explain-access", TABLE, "--as", "ana", *day))
    both = readers(lakehouse("explain-access", TABLE, "--group", "fraud_analysts", "--group", "eu_staff", *day))
    assert ana == both
    assert [each["groups"] for each in ana.values()] == [["eu_staff", "fraud_analysts"]]
    [boris] = readers(lakehouse("explain-access", TABLE, "--as", "boris", *day)).values()
    [reader] = ana.values()
    assert shown(reader) == shown(boris)
    assert len(reader["rows"]) == len(boris["rows"]) - 1  # the row ceiling holds for Boris only


def test_asked_for_a_purpose_of_others_it_says_denied(lakehouse, claims):
    said = lakehouse("explain-access", TABLE, "--as", "carl", "--purpose", "fraud_detection")
    assert said.code == 0
    assert "`fraud_detection`: the purpose is for other groups" in said.out


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["claimm"], "there is no table `claimm`", "did you mean `curated.claims.claim`?"),
        (["curated.claims.clam.email"], "there is no table `curated.claims.clam`", "did you mean `curated.claims.claim`?"),
        (["claim.emial"], "`curated.claims.claim` has no column `emial`", "did you mean `email`?"),
        (["claim.Email"], "has no column `Email`", "did you mean `email`?"),
        (["claim."], "has no column ``", "valid here"),
        (["."], "there is no table `.`", ""),
        (["claim", "--purpose", "fraud_detect"], "there is no purpose `fraud_detect`", "did you mean `fraud_detection`?"),
        (["claim", "--group", "triages"], "there is no group `triages`", "did you mean `triage`?"),
        (["claim", "--as", "anna"], "`anna` is in no group", "did you mean `ana`?"),
        (["claim", "--as", "ana", "--group", "triage"], "`--as` and `--group`", ""),
        (["claim", "--day", "soon"], "`soon` is no day", "2026-01-31"),
        ([], "there is no table to explain", "--html"),
        (["raw.claims.claim"], "nobody reads them", "explain-access staged.claims.claim"),
        (["--html", "no/such/page.html"], "a page cannot be written there", ""),
        (["--html", "."], "a page cannot be written there", ""),
    ],
)  # fmt: skip
def test_what_does_not_exist_is_wrong_usage_with_the_nearest(lakehouse, claims, arguments, message, hint):
    said = lakehouse("explain-access", *arguments)
    assert said.code == 2
    assert message in said.err
    assert hint in said.err
    assert said.out == ""


def test_a_policy_with_mistakes_is_refused(lakehouse, claims):
    access = claims / "policies/domains/claims/access.yaml"
    access.write_text(access.read_text().replace("purpose: claims_triage", "purpose: claims_triages"))
    said = lakehouse("explain-access", TABLE)
    assert said.code == 3
    assert "claims_triage" in said.err


def test_without_policies_nobody_sees_anything(lakehouse, fleet):
    said = lakehouse("explain-access", "trip.kilometres")
    assert (said.code, "nobody sees anything of it" in said.out) == (0, True)


def test_the_hint_of_a_failed_policy_test_explains_it(lakehouse, claims):
    """`check` names a command; run as it is written it shows what the test was shown, and why."""
    tests = claims / "policies/domains/claims/tests.yaml"
    tests.write_text(tests.read_text().replace("email: token", "email: clear", 1))
    checked = json.loads(lakehouse("check", "--json").out)
    [finding] = [each for each in checked["findings"] if each["code"] == "policy-test"]
    assert "is shown as `token`" in finding["message"]
    command = re.match(r"`lakehouse (explain-access [^`]+)` says which rule decided", finding["hint"])
    assert command is not None
    [reader] = readers(lakehouse(*shlex.split(command[1]), "--json")).values()
    assert shown(reader) == {"email": "token"}
    assert reader["columns"][0]["decided"][0]["text"] == "grant `fraud-reads-claims`: `user.contact.email: token`"


def test_the_documented_keys_are_those_that_are_printed(lakehouse, claims, project_root):
    section = (project_root / "docs/cli.md").read_text().split("\n## lakehouse explain-access\n")[1].split("\n## ")[0]
    document = json.loads(lakehouse("explain-access", TABLE, "--json", "--day", "2027-06-30").out)
    reader, denied = document["readers"][0], document["denied"][0]
    listed = re.search(r"`--json` keys: (.*)", section)
    assert listed is not None
    assert re.findall(r"`(\w+)`", listed[1]) == [
        *("table", "column", "day", "readers", *reader, "denied", *denied),
    ]
    entry = reader["columns"][0]
    nested = section.split("- entries of `columns`")[1]
    assert re.findall(r"`(\w+)`", nested) == [*entry, "decided", "rows", *entry["decided"][0]]
    written = json.loads(lakehouse("explain-access", "--html", "page.html", "--json").out)
    assert f"`--json` keys are {', '.join(f'`{key}`' for key in written)}" in section


def test_who_may_use_no_purpose_is_denied(lakehouse, claims):
    groups = claims / "policies/groups.yaml"
    groups.write_text(groups.read_text().replace("eu_staff: [ana]", "eu_staff: [ana, eve]"))
    said = lakehouse("explain-access", TABLE, "--as", "eve")
    assert (said.code, "eu_staff see nothing of it" in said.out, "may use no purpose" in said.out) == (0, True, True)


def test_the_example_of_the_documentation_is_what_is_printed(lakehouse, fleet, project_root):
    page = (project_root / "docs/policy.md").read_text()
    for name, text in re.findall(r"```yaml\n# (policies/\S+)\n(.*?)```", page, flags=re.DOTALL):
        (fleet / name).parent.mkdir(parents=True, exist_ok=True)
        (fleet / name).write_text(text)
    contract = "policies/domains/claims/contract.odcs.yaml"
    shutil.copyfile(FIXTURE.parent / contract, fleet / contract)
    block = page.split("## Who sees what")[1].split("```\n")[1].rstrip("`\n")
    said = lakehouse("explain-access", "claim.diagnosis", "--day", "2027-06-30").out
    assert [line.split() for line in block.splitlines()] == [line.split() for line in said.splitlines()[2:6]]
