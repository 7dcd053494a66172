"""A purpose with `isolation: copy`: its asset makes the copies, readers get nothing else, and no copy outlives its rules."""

from __future__ import annotations

import dagster as dg
import pytest

from lakehouse import storage
from lakehouse.contract.load import load_project
from lakehouse.errors import RefusedError
from lakehouse.model import TableId, Tier
from lakehouse.orchestration.build import build_definitions
from lakehouse.orchestration.runs import materialize, open_instance
from lakehouse.orchestration.serving import purpose_key
from lakehouse.policy.load import load_policy
from lakehouse.policy.views import ViewName
from lakehouse.serving import connect
from lakehouse.serving.copying import empty_obsolete, place
from tests.orchestration.policies_of_a_shop import ACCESS, PURPOSES, write_policies

SALE = TableId(Tier.STAGED, "shop", "sale")
COUNTING = PURPOSES + (
    "  counting: {description: Count., groups: [buyers], legal_basis: contract, consent: not_required, isolation: copy}\n"
)
GRANT = """\
  - id: buyers-count
    groups: [buyers]
    purpose: counting
    tables: [staged.shop.sale]
    columns: {sale.number: clear, sale.pieces: bucket(10)}
    rows: "pieces < 20"
    why: how much is sold
"""
COPY = place(ViewName("counting", "shop_sale"))


def govern(shop, grant: str = GRANT) -> None:
    write_policies(shop.settings.project, access=ACCESS + grant)
    (shop.settings.project / "policies/purposes.yaml").write_text(COUNTING)


@pytest.fixture
def counted(shop):
    govern(shop)
    shop.drop("article", "a.csv", "code", "apples", "pears")
    shop.drop("sale", "1.csv", "number,article,pieces", "1,apples,5", "2,pears,17", "3,pears,25")
    assert materialize(shop.settings, [TableId(Tier.STAGED, "shop", "article"), SALE]).success
    return shop


def run(shop) -> dict[str, object]:
    """What a run of the purpose's asset told."""
    job = build_definitions(shop.settings).resolve_implicit_global_asset_job_def()
    with open_instance(shop.settings) as instance:
        result = job.execute_in_process(instance=instance, asset_selection=[purpose_key("counting")])
        (event,) = result.asset_materializations_for_node("open_counting")
    return {name: entry.value for name, entry in event.metadata.items()}


def seen(shop, sql: str = "select * from shop_sale order by number"):
    with connect("bea", "counting", lake=shop.settings.lake, project=shop.settings.project) as connection:
        return connection.pl(sql).rows()


def test_a_run_makes_the_copy_and_readers_get_what_it_holds(counted):
    with pytest.raises(RefusedError, match=r"copy .* is not made yet"):
        seen(counted)
    told = run(counted)
    assert (told["copies_made"], told["views"]) == (1, 1)
    assert seen(counted) == [(1, None, 0), (2, None, 10)]


def test_the_files_that_a_query_reads_have_no_row_and_no_value_that_is_hidden(counted):
    run(counted)
    held = storage.scan(counted.lake, COPY).collect()
    assert held.columns == ["number", "article", "pieces"]
    assert sorted(held.rows()) == [(1, None, 0), (2, None, 10)]
    statistics = seen(counted, "select count(*), max(pieces), max(number) from shop_sale")
    assert statistics == [(2, 10, 2)]


def test_a_copy_follows_its_table_when_the_asset_runs(counted):
    run(counted)
    counted.drop("sale", "2.csv", "number,article,pieces", "4,apples,8", "5,apples,9")
    assert materialize(counted.settings, [SALE]).success
    assert [row[0] for row in seen(counted)] == [1, 2]
    run(counted)
    assert [row[0] for row in seen(counted)] == [1, 2, 4, 5]


CHANGES = {
    "less of a column": GRANT.replace("bucket(10)", "hide"),
    "fewer rows": GRANT.replace("< 20", "< 10"),
    "more of a column": GRANT.replace("sale.pieces: bucket(10)", "sale.pieces: clear"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_nobody_reads_under_a_new_policy_what_an_old_one_copied(counted, change):
    run(counted)
    govern(counted, CHANGES[change])
    with pytest.raises(RefusedError, match="made under other rules"):
        seen(counted)
    run(counted)
    assert seen(counted)


def test_automation_makes_it_anew_when_table_or_policy_changed(counted):
    def tick(cursor=None):
        return dg.evaluate_automation_conditions(
            build_definitions(counted.settings),
            instance,
            asset_selection=dg.AssetSelection.assets(purpose_key("counting")),
            cursor=cursor,
        )

    with open_instance(counted.settings) as instance:
        first = tick()
        run(counted)
        quiet = tick(first.cursor)
        assert quiet.total_requested == 0
        govern(counted, CHANGES["fewer rows"])
        assert tick(quiet.cursor).total_requested == 1


def test_an_ended_grant_leaves_an_empty_copy(counted):
    run(counted)
    govern(counted, GRANT + "    until: 2001-01-01\n")
    with pytest.raises(RefusedError, match="may read nothing"):
        seen(counted)
    job = build_definitions(counted.settings).resolve_implicit_global_asset_job_def()
    with open_instance(counted.settings) as instance:
        result = job.execute_in_process(
            instance=instance, asset_selection=[purpose_key("counting")], raise_on_error=False
        )
    assert not result.success  # nothing of the purpose opens, which is told
    assert storage.scan(counted.lake, COPY).collect().height == 0


def test_the_copy_of_a_grant_that_is_gone_is_emptied(counted):
    run(counted)
    project = load_project(counted.settings.project)

    def empty():
        return empty_obsolete(counted.lake, project, load_policy(project.root, project))

    assert empty() == ()
    govern(counted, "")
    assert empty() == ("system.copy.counting.shop_sale",)
    assert storage.scan(counted.lake, COPY).collect().height == 0
    assert empty() == ()
