"""v005: Add user stats."""

from firestore_migrations.testing import assert_migrates, load_migration

up = load_migration("v005").step("up")


def test_a_document_gets_its_display_name() -> None:
    assert_migrates(up, before={"name": "Ada"}, after={"name": "Ada", "displayName": "Ada"})


def test_a_document_of_the_new_shape_stays_as_it_is() -> None:
    new = {"name": "Ada", "displayName": "Countess Ada"}
    assert_migrates(up, before=new, after=new)
