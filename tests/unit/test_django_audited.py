"""Changes of audited models: one record for each, with what was before and what is after."""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

import shipper
from tests.trail import follow
from tests.unit.conftest import Shop

pytestmark = pytest.mark.usefixtures("shop")


@pytest.fixture
def models(shop: Shop) -> Any:
    from tests.django_shop import models

    return models


@pytest.fixture
def ann(shop: Shop, models: Any) -> Any:
    """A customer whose creation is forgotten."""
    customer = models.Customer.objects.create(name="Ann", city="Ulm")
    shop.forget()
    return customer


@contextmanager
def queries() -> Iterator[list[str]]:
    """The queries that the block puts to the database."""
    asked: list[str] = []

    def note(execute: Any, sql: str, *args: Any) -> Any:
        asked.append(sql)
        return execute(sql, *args)

    with connection.execute_wrapper(note):
        yield asked


def test_a_creation_shows_every_field(shop: Shop, models: Any) -> None:
    customer = models.Customer.objects.create(name="Ann")
    (record,) = shop.records()
    assert record["event"]["action"] == "shop.customer-created"
    assert (record["event"]["category"], record["event"]["type"]) == (["database"], ["change"])
    assert record["audit"]["resource"] == {"type": "shop.customer", "id": str(customer.pk), "name": "Ann"}
    assert record["audit"]["changes"] == {"after": {"name": "Ann", "city": "", "card_number": "[redacted]"}}


def test_a_change_shows_the_fields_that_differ(shop: Shop, ann: Any) -> None:
    ann.city = "Bonn"
    ann.save()
    assert shop.changes() == [("shop.customer-changed", {"before": {"city": "Ulm"}, "after": {"city": "Bonn"}})]


def test_a_deletion_shows_what_was_there(shop: Shop, ann: Any) -> None:
    key = ann.pk
    ann.name = "not what is in the database"
    ann.delete()
    (record,) = shop.records()
    assert record["event"]["action"] == "shop.customer-deleted"
    assert record["audit"]["resource"]["id"] == str(key)
    assert record["audit"]["changes"] == {"before": {"name": "Ann", "city": "Ulm", "card_number": "[redacted]"}}


def test_a_save_that_changes_nothing_leaves_no_record(shop: Shop, ann: Any) -> None:
    ann.save()
    type(ann).objects.filter(pk=ann.pk).update(city="Ulm")
    type(ann).objects.bulk_update([ann], ["city"])
    assert shop.records() == []


def test_values_that_are_the_same_to_the_database_are_no_change(shop: Shop, models: Any) -> None:
    order = models.Order.objects.create(total="1.5", data={"sizes": (1, 2)})
    shop.forget()
    order.total, order.data = 1.50, {"sizes": (1, 2)}
    order.save()
    order.total = "1.500"
    order.save()
    assert shop.records() == []


def test_the_value_before_is_the_database_s(shop: Shop, ann: Any) -> None:
    type(ann)._base_manager.filter(pk=ann.pk).update(city="Berlin")
    shop.forget()
    ann.city = "Bonn"  # the object has never heard of Berlin
    ann.save()
    assert shop.changes()[0][1]["before"] == {"city": "Berlin"}


def test_what_the_database_works_out_is_read(shop: Shop, models: Any) -> None:
    from django.db.models import F

    order = models.Order.objects.create(total=1)
    shop.forget()
    order.total = F("total") + 1
    order.save()
    models.Order.objects.update(total=F("total") * 2)
    assert [one["after"] for _, one in shop.changes()] == [{"total": "2.00"}, {"total": "4.00"}]


def test_only_the_named_fields_are_compared(shop: Shop, models: Any) -> None:
    order = models.Order.objects.create()
    shop.forget()
    order.internal = "x"
    order.save()
    models.Order.objects.update(internal="y")
    assert shop.records() == []


def test_a_save_of_other_fields_asks_the_database_nothing(shop: Shop, models: Any) -> None:
    order = models.Order.objects.create()
    with queries() as asked:
        order.save(update_fields=["internal"])
        models.Order.objects.update(internal="y")
    assert [sql.split()[0] for sql in asked] == ["UPDATE", "UPDATE"]


def test_a_model_that_is_not_audited_costs_no_query(shop: Shop, models: Any) -> None:
    with queries() as asked:
        plain = models.Plain.objects.create(name="a")
        plain.save()
        models.Plain.objects.bulk_create([models.Plain(name="b")])
        models.Plain.objects.update(name="c")
        models.Plain.objects.filter(name="x").delete()
    kinds = [sql.split()[0] for sql in asked if sql.split()[0] not in ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE")]
    assert kinds == ["INSERT", "UPDATE", "INSERT", "UPDATE", "SELECT"]  # which is Django's, to delete
    assert shop.records() == []


def test_a_creation_asks_the_database_nothing(shop: Shop, models: Any) -> None:
    with queries() as asked:
        models.Customer.objects.create(name="Ann")
        models.Parcel.objects.create()
    assert [sql.split()[0] for sql in asked] == ["INSERT", "INSERT"]


def test_deferred_fields_are_left_alone(shop: Shop, ann: Any) -> None:
    found = type(ann).objects.only("name").get(pk=ann.pk)
    found.name = "Anna"
    with queries() as asked:
        found.save()
    assert shop.changes() == [("shop.customer-changed", {"before": {"name": "Ann"}, "after": {"name": "Anna"}})]
    assert not any("city" in sql for sql in asked)


def test_an_object_that_overwrites_a_row_is_a_change_of_it(shop: Shop, ann: Any) -> None:
    type(ann)(pk=ann.pk, name="Bea", city="Ulm").save()
    assert shop.changes() == [("shop.customer-changed", {"before": {"name": "Ann"}, "after": {"name": "Bea"}})]


def test_get_or_create_and_update_or_create_are_seen(shop: Shop, models: Any) -> None:
    models.Customer.objects.get_or_create(name="Ann")
    models.Customer.objects.get_or_create(name="Ann")
    models.Customer.objects.update_or_create(name="Ann", defaults={"city": "Bonn"})
    assert shop.actions() == ["shop.customer-created", "shop.customer-changed"]


def test_an_update_of_a_queryset_has_a_record_for_each_row(shop: Shop, models: Any) -> None:
    for name in ("a", "b", "c"):
        models.Customer.objects.create(name=name, city="Bonn" if name == "c" else "")
    shop.forget()
    assert models.Customer.objects.filter(name__in="abc").update(city="Bonn") == 3
    assert shop.changes() == [("shop.customer-changed", {"before": {"city": ""}, "after": {"city": "Bonn"}})] * 2


def test_an_update_is_seen_whatever_the_queryset_looks_like(shop: Shop, ann: Any) -> None:
    from django.db.models import Count

    customers = type(ann).objects
    customers.select_for_update().order_by("name").prefetch_related("order_set").update(city="a")
    customers.annotate(n=Count("order")).filter(n=0).distinct().update(city="b")
    customers.only("name").values("name").update(city="c")
    assert [change["after"]["city"] for _, change in shop.changes()] == ["a", "b", "c"]


def test_a_field_may_have_any_name(shop: Shop, models: Any) -> None:
    models.Plain.objects.create(original="a", queryset="b")
    assert models.Plain.objects.update(original="x", queryset="y") == 1


def test_an_update_that_django_refuses_is_refused_as_before(shop: Shop, ann: Any, caplog: Any) -> None:
    with pytest.raises(TypeError, match="slice"):
        type(ann).objects.all()[:1].update(city="x")
    assert (shop.records(), caplog.records) == ([], [])


def test_a_bulk_creation_has_a_record_for_each_row(shop: Shop, models: Any) -> None:
    made = models.Customer.objects.bulk_create(models.Customer(name=name) for name in "ab")
    assert shop.actions() == ["shop.customer-created"] * 2
    assert [record["audit"]["resource"]["id"] for record in shop.records()] == [str(one.pk) for one in made]


def test_a_bulk_creation_that_leaves_rows_out_is_one_record(shop: Shop, models: Any) -> None:
    models.Customer.objects.bulk_create([models.Customer(name=name) for name in "ab"], None, True)
    (record,) = shop.records()
    assert (record["tags"], record["labels"]) == (["no-actor", "bulk"], {"rows": "2"})
    assert record["event"]["reason"] == "2 rows at once; those that were there are left out"


def test_a_bulk_update_has_a_record_for_each_row_that_differs(shop: Shop, models: Any) -> None:
    made = models.Customer.objects.bulk_create([models.Customer(name=name, city="Bonn") for name in "abc"])
    shop.forget()
    made[0].city = made[1].city = "Ulm"
    models.Customer.objects.bulk_update(iter(made), ["city"], batch_size=1)
    assert shop.changes() == [("shop.customer-changed", {"before": {"city": "Bonn"}, "after": {"city": "Ulm"}})] * 2
    assert {record["audit"]["resource"]["name"] for record in shop.records()} == {"a", "b"}


def test_many_rows_are_one_record_that_says_how_many_and_by_which_fields(
    shop: Shop, models: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shipper.django import bulk_create, delete, rows, update

    for module in (rows, bulk_create, update, delete):
        monkeypatch.setattr(module, "ROWS_LIMIT", 2)
    customers = models.Customer.objects
    made = customers.bulk_create([models.Customer(name=name) for name in "abc"])
    customers.filter(name__in="abc", city="").update(city="Bonn")
    customers.bulk_update(made, ["city"])
    customers.filter(city__startswith="").delete()
    created, updated, in_bulk, deleted = shop.records()
    assert shop.actions() == ["shop.customer-created", *["shop.customer-changed"] * 2, "shop.customer-deleted"]
    assert created["labels"] == {"rows": "3"}
    assert updated["labels"] == {"rows": "3", "fields": "city", "filter": "city,name"}
    assert updated["audit"] | {"chain": 0} == {
        "actor": {"type": "system"},
        "resource": {"type": "shop.customer"},
        "changes": {"after": {"city": "Bonn"}},
        "chain": 0,
    }
    assert in_bulk["labels"] == {"rows": "3", "fields": "city", "filter": "pk"}
    assert deleted["labels"] == {"rows": "3", "filter": "city"}
    assert deleted["event"]["reason"] == "3 rows at once"
    assert {tag for record in shop.records() for tag in record["tags"]} == {"bulk", "no-actor"}


def test_what_goes_by_cascade_is_seen(shop: Shop, models: Any, ann: Any) -> None:
    order = models.Order.objects.create(customer=ann, note="first")
    line = models.Line.objects.create(order=order, text="tea")
    approved = models.Order.objects.create(approved_by=ann)
    keys = {"line": line.pk, "order": order.pk, "customer": ann.pk}
    before = ann.pk
    shop.forget()
    ann.delete()
    found = {record["event"]["action"]: record for record in shop.records()}
    for name, key in keys.items():
        assert found[f"shop.{name}-deleted"]["audit"]["resource"]["id"] == str(key)
    assert found["shop.line-deleted"]["audit"]["changes"] == {"before": {"order": keys["order"], "text": "tea"}}
    assert found["shop.line-deleted"]["event"]["reason"] == "deletion of shop.customer"
    assert found["shop.order-changed"]["audit"]["resource"]["id"] == str(approved.pk)
    assert found["shop.order-changed"]["audit"]["changes"] == {
        "before": {"approved_by": before},
        "after": {"approved_by": None},
    }
    assert found["shop.order-changed"]["event"]["reason"] == "deletion of shop.customer"
    assert len(shop.records()) == 4


def test_a_deletion_of_a_queryset_is_seen_and_deletes_as_quickly(shop: Shop, models: Any) -> None:
    order = models.Order.objects.create()
    models.Line.objects.bulk_create([models.Line(order=order, text=text) for text in "ab"])
    shop.forget()
    with queries() as asked:
        models.Line.objects.filter(text__in="ab").delete()
    assert shop.actions() == ["shop.line-deleted"] * 2
    assert [sql.split()[0] for sql in asked if "shop_line" in sql] == ["SELECT", "DELETE"]


def test_a_reference_given_up_by_the_other_side_is_a_change(shop: Shop, models: Any, ann: Any) -> None:
    order = models.Order.objects.create(approved_by=ann)
    shop.forget()
    ann.approved.clear()
    ann.approved.add(order)
    assert [change["after"] for _, change in shop.changes()] == [{"approved_by": None}, {"approved_by": ann.pk}]


@pytest.fixture
def order(shop: Shop, models: Any) -> Any:
    made = models.Order.objects.create()
    shop.forget()
    return made


def tags_of(models: Any, names: str) -> list[Any]:
    return [models.Tag.objects.create(name=name) for name in names]


def test_members_that_come_and_go_are_changes(shop: Shop, models: Any, order: Any) -> None:
    first, second, third = tags_of(models, "abc")
    order.tags.add(first, second)
    order.tags.add(first)  # it is there
    order.tags.remove(second)
    order.tags.remove(third)  # it is not
    order.tags.set([third])
    order.tags.clear()
    assert [(change["before"]["tags"], change["after"]["tags"]) for _, change in shop.changes()] == [
        ([], [first.pk, second.pk]),
        ([second.pk], []),
        ([first.pk], []),
        ([], [third.pk]),
        ([third.pk], []),
    ]
    assert {record["audit"]["resource"]["id"] for record in shop.records()} == {str(order.pk)}


def test_members_are_seen_from_the_other_side(shop: Shop, models: Any, order: Any) -> None:
    (tag,) = tags_of(models, "a")
    tag.order_set.add(order)
    tag.delete()
    assert [change["after"]["tags"] for _, change in shop.changes()] == [
        [tag_key := shop.changes()[0][1]["after"]["tags"][0]],
        [],
    ]
    assert shop.changes()[1][1]["before"]["tags"] == [tag_key]
    assert shop.records()[1]["event"]["reason"] == "deletion of shop.tag"


def test_the_members_of_a_deleted_row_are_on_its_record(shop: Shop, models: Any, order: Any) -> None:
    order.tags.set(tags := tags_of(models, "ab"))
    shop.forget()
    order.delete()
    assert shop.actions() == ["shop.order-deleted"]
    assert sorted(shop.changes()[0][1]["before"]["tags"]) == [tag.pk for tag in tags]


def test_members_by_a_model_of_their_own_are_seen(shop: Shop, models: Any) -> None:
    club, person = models.Club.objects.create(name="x"), models.Person.objects.create(name="y")
    shop.forget()
    membership = models.Membership.objects.create(club=club, person=person)
    membership.delete()
    assert [change["after"]["members"] for _, change in shop.changes()] == [[person.pk], []]


def test_a_relation_of_a_model_that_is_not_audited_keeps_its_quick_way(shop: Shop, models: Any) -> None:
    one, other = (models.Plain.objects.create(name=name) for name in "ab")
    with queries() as asked:
        one.friends.add(other)
    assert [sql.split()[0] for sql in asked if "INSERT" in sql or "SELECT" in sql] == ["INSERT", "INSERT"]


def test_a_change_that_is_rolled_back_leaves_no_record(shop: Shop, ann: Any) -> None:
    def fail() -> None:
        with transaction.atomic():
            ann.city = "Bonn"
            ann.save()
            type(ann).objects.create(name="Bea")
            raise LookupError

    with transaction.atomic():
        with pytest.raises(LookupError):
            fail()
        type(ann).objects.create(name="Cid")
        assert shop.records() == []
    assert [change["after"]["name"] for _, change in shop.changes()] == ["Cid"]


def test_a_record_is_of_whoever_acted_when_the_change_was_made(shop: Shop, ann: Any) -> None:
    with transaction.atomic():
        with shipper.actor(id="bob"), shipper.log_context(customer="42"):
            ann.city = "Bonn"
            ann.save()
        with shipper.actor(id="eve"):
            ann.city = "Ulm"
            ann.save()
    bob, eve = shop.records()
    assert (bob["user"], bob["organization"]) == ({"id": "bob"}, {"id": "42"})
    assert eve["user"] == {"id": "eve"}
    assert "organization" not in eve


def test_where_the_application_commits_by_hand_a_record_says_that_it_may_not_be_so(shop: Shop, ann: Any) -> None:
    transaction.set_autocommit(False)
    try:
        ann.city = "Bonn"
        ann.save()
        transaction.commit()
    finally:
        transaction.set_autocommit(True)
    assert shop.records()[0]["tags"] == ["no-actor", "uncommitted"]


def test_changes_in_another_database_are_seen(shop: Shop, models: Any) -> None:
    customers = models.Customer.objects.using("other")
    customer = customers.create(name="Ann")
    with transaction.atomic(using="other"):
        customer.city = "Bonn"
        customer.save()
        customers.update(city="Ulm")
        with transaction.atomic():
            pass
        assert shop.actions() == ["shop.customer-created"]
    customer.delete()
    assert shop.actions() == ["shop.customer-created", *["shop.customer-changed"] * 2, "shop.customer-deleted"]


def test_a_proxy_is_the_model_that_it_stands_for(shop: Shop, models: Any) -> None:
    order = models.BigOrder.objects.create(note="x")
    models.BigOrder.objects.filter(pk=order.pk).update(note="y")
    models.BigOrder.objects.get(pk=order.pk).delete()
    assert shop.actions() == ["shop.order-created", "shop.order-changed", "shop.order-deleted"]


def test_a_model_that_inherits_changes_both_tables(shop: Shop, models: Any) -> None:
    restaurant = models.Restaurant.objects.create(name="Post", stars=1)
    restaurant.name = "Krone"
    restaurant.save()
    models.Restaurant.objects.update(name="Adler", stars=2)
    restaurant.delete()
    assert sorted(shop.actions()[:2]) == ["shop.place-created", "shop.restaurant-created"]
    assert shop.changes()[2:5] == [
        ("shop.place-changed", {"before": {"name": "Post"}, "after": {"name": "Krone"}}),
        ("shop.place-changed", {"before": {"name": "Krone"}, "after": {"name": "Adler"}}),
        ("shop.restaurant-changed", {"before": {"stars": 1}, "after": {"stars": 2}}),
    ]
    assert sorted(shop.changes()[5:]) == [
        ("shop.place-deleted", {"before": {"name": "Adler"}}),
        ("shop.restaurant-deleted", {"before": {"stars": 2}}),
    ]


def test_an_abstract_model_stands_for_those_that_inherit_from_it(shop: Shop, models: Any) -> None:
    models.Letter.objects.create(by="ann")
    assert shop.changes() == [("shop.letter-created", {"after": {"by": "ann", "text": ""}})]


def test_a_fixture_is_told_as_one(shop: Shop, models: Any, tmp_path: Path) -> None:
    from django.core.management import call_command

    restaurant = models.Restaurant.objects.create(name="Post", stars=1)
    shop.forget()
    fixture = [
        {"model": "shop.place", "pk": restaurant.pk, "fields": {"name": "Krone"}},
        {"model": "shop.restaurant", "pk": restaurant.pk, "fields": {"stars": 1}},
        {"model": "shop.customer", "pk": 77, "fields": {"name": "Ann"}},
    ]
    (tmp_path / "some.json").write_text(json.dumps(fixture))
    call_command("loaddata", str(tmp_path / "some.json"), verbosity=0)
    assert shop.actions() == ["shop.place-changed", "shop.customer-created"]
    assert all("fixture" in record["tags"] for record in shop.records())
    assert "name" not in shop.records()[1]["audit"]["resource"]


def test_a_name_is_never_worth_a_query(shop: Shop, models: Any, ann: Any) -> None:
    order = models.Order.objects.create(customer_id=ann.pk)
    assert "name" not in shop.records()[0]["audit"]["resource"]
    order.customer  # noqa: B018 - now it is known
    order.note = "x"
    order.save()
    assert shop.records()[1]["audit"]["resource"]["name"] == "order of Ann"


def test_a_name_with_a_secret_in_it_is_left_out(shop: Shop, models: Any) -> None:
    models.Customer.objects.create(name="Ann", card_number="4111-of-Ann")  # which no id and no hash has by chance
    models.ApiToken.objects.create(key="abc")
    assert all("name" not in record["audit"]["resource"] for record in shop.records())
    assert "4111-of-Ann" not in json.dumps(shop.records())


def test_secrets_are_redacted(shop: Shop) -> None:
    from django.contrib.auth.models import User

    user = User.objects.create_user("ann", password="x" * 9)
    user.set_password("other")
    user.save()
    assert shop.changes()[1] == (
        "auth.user-changed",
        {"before": {"password": "[redacted]"}, "after": {"password": "[redacted]"}},
    )


def test_every_kind_of_value_can_be_written(shop: Shop, models: Any) -> None:
    from datetime import UTC, datetime
    from decimal import Decimal

    placed = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    models.Order.objects.create(total=Decimal("9.90"), placed_at=placed, data={"n": [1, {"m": None}]})
    after = shop.changes()[0][1]["after"]
    assert (after["total"], after["placed_at"]) == ("9.90", "2026-01-02T03:04:00+00:00")
    assert after["data"] == {"n": [1, {"m": None}]}
    follow(shop.records())


def test_an_object_can_be_saved_again_by_a_receiver(shop: Shop, models: Any) -> None:
    from django.db.models.signals import post_save

    def again(instance: Any, created: bool, **_: Any) -> None:
        if created:
            instance.city = "Bonn"
            instance.save()

    post_save.connect(again, sender=models.Customer)
    try:
        models.Customer.objects.create(name="Ann")
    finally:
        post_save.disconnect(again, sender=models.Customer)
    assert shop.actions() == ["shop.customer-created", "shop.customer-changed"]


def test_an_object_that_could_not_be_saved_can_be_pickled_and_saved_later(shop: Shop, ann: Any) -> None:
    ann.name = None
    for _ in range(20):
        with pytest.raises(IntegrityError):
            ann.save()
    same = pickle.loads(pickle.dumps(ann))  # noqa: S301 - our own
    same.name = "Anna"
    same.save()
    assert shop.changes() == [("shop.customer-changed", {"before": {"name": "Ann"}, "after": {"name": "Anna"}})]


def test_async_calls_are_seen_with_their_actor(shop: Shop, models: Any) -> None:
    async def change() -> None:
        with shipper.actor(id="ann"):
            customer = await models.Customer.objects.acreate(name="Ann")
            await models.Customer.objects.filter(pk=customer.pk).aupdate(city="Bonn")
            await customer.adelete()

    asyncio.run(change())
    assert shop.actions() == ["shop.customer-created", "shop.customer-changed", "shop.customer-deleted"]
    assert {record["user"]["id"] for record in shop.records()} == {"ann"}


def test_a_change_is_made_even_if_it_cannot_be_recorded(
    shop: Shop, models: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shipper.django import change_records, registry, rows

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("broken")

    for module, name in (
        (rows, "_values"),
        (rows, "pairs"),
        (change_records, "_event"),
        (registry, "of_table"),
        (registry, "of"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, broken)
            with transaction.atomic():
                customer = models.Customer.objects.create(name="Ann")
                order = models.Order.objects.create(customer=customer)
                models.Line.objects.bulk_create([models.Line(order=order)])
                order.tags.set(tags_of(models, "a"))
                models.Order.objects.update(note="x")
                order.note = "y"
                order.save()
                models.Order.objects.bulk_update([order], ["note"])
                customer.delete()
        assert not models.Order.objects.exists()


def test_a_reading_of_ours_that_fails_leaves_the_transaction_as_it_was(
    shop: Shop, ann: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shipper.django import rows

    def broken(*_: Any) -> Any:
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM no_such_table")

    monkeypatch.setattr(rows, "_values", broken)
    with transaction.atomic(), queries() as asked:
        ann.city = "Bonn"
        ann.save()
    assert [sql.split()[0] for sql in asked[:3]] == ["SAVEPOINT", "SELECT", "ROLLBACK"]
    ann.refresh_from_db()
    assert ann.city == "Bonn"
