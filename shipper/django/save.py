"""Audits save(), create(), get_or_create() and update_or_create(), by Django's signals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from django.db.models import Model
from django.db.models.signals import post_save, pre_save

from ..guard import never_raise
from . import change_records, many_to_many, registry
from .change_records import CREATED, FIXTURE_TAG, Change, record_changes
from .registry import AuditedModel
from .rows import Values, by_key
from .values import is_expression, normal

_WAITING = "_shipper_saves"  # an attribute of the object's _state
NESTED_LIMIT = 10  # bounds the list: a save that fails is never removed from it, and saves are not nested deeper


class _Saves(list["list[_Save]"]):
    """The saves of one object that are in progress, as a receiver may save it again. Pickled as an empty list."""

    def __reduce__(self) -> tuple[type[list[Any]], tuple[()]]:
        return list, ()


class _Save(NamedTuple):
    """A save in progress. `before` is None if the row does not exist yet."""

    audited: AuditedModel
    fields: tuple[Any, ...]
    before: Values | None


def connect() -> None:
    """Connect the signals: before the application's receivers, so that their changes are recorded after this one."""
    pre_save.connect(_about_to_save, dispatch_uid="shipper")
    post_save.connect(_saved, dispatch_uid="shipper")


def _about_to_save(
    sender: Any, instance: Any, raw: bool = False, using: str = "", update_fields: Any = None, **_: Any
) -> None:
    audited_models: tuple[AuditedModel, ...] = ()
    saves: list[_Save] = []
    with never_raise("save"):
        audited_models = registry.of(sender)
        for audited in audited_models:
            fields = audited.among(update_fields)
            if raw:  # a fixture has a separate object for each parent table
                if audited.model is not sender._meta.concrete_model:
                    continue
                fields = tuple(field for field in fields if field in audited.model._meta.local_concrete_fields)
            if fields or (update_fields is None and instance._state.adding):
                saves.append(_Save(audited, fields, _before(instance, audited, fields, raw, using)))
    if audited_models:
        waiting = instance._state.__dict__.setdefault(_WAITING, _Saves())
        waiting.append(saves)
        del waiting[:-NESTED_LIMIT]


def _before(instance: Any, audited: AuditedModel, fields: tuple[Any, ...], raw: bool, using: str) -> Values | None:
    key = getattr(instance, audited.key)
    if _is_new(instance, audited, raw):
        return None
    return by_key(audited, [key], fields, using).get(key)


def _is_new(instance: Any, audited: AuditedModel, raw: bool) -> bool:
    """Whether Django will insert the row without checking if it exists."""
    if not instance._state.adding:
        return False
    field, key = audited.model._meta.pk, getattr(instance, audited.key)
    if key is None or (isinstance(key, tuple) and None in key):
        return True
    return not raw and bool(field.has_default() or getattr(field, "has_db_default", bool)())


def _saved(sender: Any, instance: Any, created: bool = False, raw: bool = False, using: str = "", **_: Any) -> None:
    with never_raise("save"):
        if created:
            for relation in registry.relations_through(sender):
                record_changes(many_to_many.added(relation, many_to_many.pairs_of(relation, [instance])), using)
        waiting = instance._state.__dict__.get(_WAITING)
        if not waiting:
            return
        saves = waiting.pop()
        if not waiting:
            del instance._state.__dict__[_WAITING]
        record_changes([change for save in saves for change in _changes(save, instance, raw, using)], using)


def _changes(save: _Save, instance: Any, raw: bool, using: str) -> list[Change]:
    audited, key = save.audited, getattr(instance, save.audited.key)
    after = values_of(instance, audited, save.fields, using)
    if save.before is None:
        changes = [Change(audited, CREATED, key, None, None, after)]
    else:
        changes = change_records.changed_rows(audited, {key: save.before}, {key: after})
    if raw:  # str() of a fixture's row may need rows that are not loaded yet
        return [change._replace(tags=(FIXTURE_TAG,)) for change in changes]
    return [change._replace(name=change_records.name_of(instance)) for change in changes]


def values_of(instance: Model, audited: AuditedModel, fields: tuple[Any, ...], using: str) -> Values:
    """The values of a saved object. Results of expressions are read from the database; deferred fields are omitted."""
    loaded: Mapping[str, Any] = instance.__dict__
    present = [field for field in fields if field.attname in loaded]
    values = {
        field.name: normal(field, loaded[field.attname])
        for field in present
        if not is_expression(loaded[field.attname])
    }
    if unknown := [field for field in present if field.name not in values]:
        key = getattr(instance, audited.key)
        values |= by_key(audited, [key], unknown, using).get(key, {})
    return values
