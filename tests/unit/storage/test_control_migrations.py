"""The control database's revisions: what they make is what `storage.control` says, and others are refused."""

from __future__ import annotations

import dataclasses

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from lakehouse import storage
from lakehouse.errors import FormatVersionError, LakeMismatchError, LakeMissingError
from lakehouse.settings import load_settings
from lakehouse.storage import migrations
from lakehouse.storage.control import metadata

VERSION = sa.table("alembic_version", sa.column("version_num", sa.Text))


def set_revision(lake, revision):
    with lake.control.write("lake.control") as connection:
        connection.execute(VERSION.update().values(version_num=revision))


def test_head_is_the_newest_revision_and_the_line_has_no_forks():
    assert migrations.scripts().get_heads() == [migrations.HEAD]
    assert migrations.scripts().get_bases() == ["0001"]


def test_the_revisions_make_what_the_tables_say(any_lake):
    with any_lake.control.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_the_revisions_make_the_very_same_statements(lake):
    """Checks and `WITHOUT ROWID` too, which a comparison of columns does not see."""
    fresh = sa.create_engine("sqlite://")
    tables = sa.text("select name, sql from sqlite_master where sql is not null and name <> 'alembic_version'")
    with fresh.begin() as made, lake.control.read() as migrated:
        metadata.create_all(made)
        wanted, found = ({row.name: shape(row.sql) for row in each.execute(tables)} for each in (made, migrated))
    fresh.dispose()
    assert found == wanted


def shape(sql):
    return " ".join(sql.replace("(", " ( ").replace(")", " ) ").split())


@pytest.mark.parametrize(
    ("revision", "hint"), [("0000", "lakehouse migrate"), ("9999", "version that migrated it")], ids=["older", "newer"]
)
def test_another_revision_is_refused(any_settings, any_lake, revision, hint):
    set_revision(any_lake, revision)
    for open_it in (storage.open_lake, storage.create_lake):
        with pytest.raises(FormatVersionError, match=f"revision `{revision}`") as caught:
            open_it(any_settings)
        assert hint in caught.value.hint


def test_a_database_from_before_there_were_revisions_is_refused(any_settings, any_lake):
    with any_lake.control.write("lake.control") as connection:
        connection.execute(sa.schema.DropTable(sa.Table(VERSION.name, sa.MetaData())))
    for open_it in (storage.open_lake, storage.create_lake, storage.migrate_lake):
        with pytest.raises(FormatVersionError, match="revision `None`") as caught:
            open_it(any_settings)
        assert "migrated it" in caught.value.hint


def test_migrating_what_is_new_changes_nothing_and_newer_is_refused(any_settings, any_lake):
    assert storage.migrate_lake(any_settings) == (migrations.HEAD, migrations.HEAD)
    set_revision(any_lake, "9999")
    with pytest.raises(FormatVersionError, match="revision `9999`"):
        storage.migrate_lake(any_settings)


def test_a_creation_that_died_before_its_tables_is_made_whole(any_settings, any_lake):
    """All of a migration is one transaction: there are all tables or none."""
    with any_lake.control.read() as connection:
        assert set(metadata.tables) <= set(sa.inspect(connection).get_table_names())
    assert storage.migrate_lake(any_settings)[1] == migrations.HEAD


def test_only_the_lakes_own_database_is_migrated(lake_settings, lake, tmp_path):
    other = load_settings(lake_settings.project, lake=str(tmp_path / "other"))
    with pytest.raises(LakeMissingError):
        storage.migrate_lake(other)
    storage.create_lake(other)
    with pytest.raises(LakeMismatchError):
        storage.migrate_lake(dataclasses.replace(lake_settings, control_url=other.control_url))
