"""Which models and fields are audited. Queried at each change of any model, so the results are cached."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist

from ..guard import never_raise

log = logging.getLogger("shipper")

APP = "shipper.django"


@dataclass(frozen=True, eq=False)
class AuditedModel:
    """An audited concrete model and its audited fields with a column, including inherited ones."""

    model: Any
    fields: tuple[Any, ...]

    @cached_property
    def name(self) -> str:
        """The model's name in records: `shop.order`."""
        return str(self.model._meta.label_lower)

    @cached_property
    def key(self) -> str:
        """The attribute with the primary key of this model's table, also on instances of inheriting models."""
        return str(self.model._meta.pk.attname)

    def among(self, names: Iterable[str] | None) -> tuple[Any, ...]:
        """The audited fields among `names` (of fields or columns); None: all of them."""
        if names is None:
            return self.fields
        named = set(names)
        return tuple(field for field in self.fields if field.name in named or field.attname in named)


@dataclass(frozen=True, eq=False)
class AuditedRelation:
    """An audited many-to-many field. Rows of `through` link a row of the model (`source`) to another (`target`)."""

    audited: AuditedModel
    name: str
    through: Any
    source: Any
    target: Any


problems: list[str] = []
"""Why models or fields passed to `audited` cannot be audited; reported by the system checks."""

_pending: list[tuple[Any, tuple[str, ...] | None]] = []
_models: dict[Any, AuditedModel] = {}
_relations: dict[Any, tuple[AuditedRelation, ...]] = {}
_by_model: WeakKeyDictionary[Any, tuple[AuditedModel, ...]] = WeakKeyDictionary()
_installed = False


def add(model: Any, fields: Iterable[str] | None) -> None:
    """Audit the model once all models are loaded. Signals are connected now, before the application's receivers."""
    from . import save

    save.connect()
    names = (fields,) if isinstance(fields, str) else tuple(fields) if fields is not None else None
    _pending.append((model, names))
    if _installed:
        install()
    elif apps.apps_ready and not apps.is_installed(APP):
        log.warning("Changes of %s are not audited: add %r to INSTALLED_APPS.", model.__name__, APP)


def install() -> None:
    """Audit the added models; all models have to be loaded. Wraps Django's methods only if there are any."""
    global _installed  # noqa: PLW0603 - Django's classes are global, too
    _installed = True
    while _pending:
        model, names = _pending.pop(0)
        with never_raise("audited"):
            _set_up(model, names)
    _by_model.clear()
    if _models:
        from . import bulk_create, delete, update

        for module in (update, bulk_create, delete):
            module.wrap()


def of(model: Any) -> tuple[AuditedModel, ...]:
    """The audited models whose tables rows of this model are in: its own, and its parents'."""
    audited = _by_model.get(model)
    if audited is None:
        concrete = model._meta.concrete_model
        audited = _by_model[model] = tuple(one for one in _models.values() if issubclass(concrete, one.model))
    return audited


def of_table(model: Any) -> AuditedModel | None:
    """The audited model of this model's own table; None if it is not audited."""
    return _models.get(model._meta.concrete_model)


def relations_through(model: Any) -> tuple[AuditedRelation, ...]:
    """The audited many-to-many fields whose `through` model this is."""
    return _relations.get(model, ())


def _set_up(model: Any, names: tuple[str, ...] | None) -> None:
    if model._meta.abstract:
        for one in apps.get_models():
            if issubclass(one, model) and not one._meta.proxy:
                _set_up(one, names)
        return
    model = model._meta.concrete_model
    many: list[Any]
    if names is None:
        meta = model._meta
        columns = [one for one in meta.concrete_fields if not one.primary_key and not getattr(one, "generated", False)]
        many = list(meta.local_many_to_many)
    else:
        chosen = [field for name in names if (field := _field(model, name)) is not None]
        columns = [field for field in chosen if not field.many_to_many]
        many = [field for field in chosen if field.many_to_many]
    audited = _models[model] = AuditedModel(model, tuple(columns))
    for through, relations in list(_relations.items()):  # if it was audited before with other fields
        _relations[through] = tuple(one for one in relations if one.audited.model is not model)
    for field in many:
        _set_up_relation(audited, field)


def _field(model: Any, name: str) -> Any:
    try:
        field = model._meta.get_field(name)
    except FieldDoesNotExist:
        problems.append(f"{model._meta.label} has no field {name!r}")
        return None
    if (field.auto_created and field.is_relation) or not (field.many_to_many or getattr(field, "concrete", False)):
        problems.append(f"{model._meta.label}.{name} is neither a field with a column nor many-to-many")
        return None
    if field.many_to_many and field not in model._meta.local_many_to_many:
        problems.append(f"{model._meta.label}.{name} is {field.model._meta.label}'s, which can be audited itself")
        return None
    return field


def _set_up_relation(audited: AuditedModel, field: Any) -> None:
    through = field.remote_field.through
    if isinstance(through, str):
        problems.append(f"{audited.model._meta.label}.{field.name} goes through {through}, which is not there")
        return
    source = through._meta.get_field(field.m2m_field_name())
    target = through._meta.get_field(field.m2m_reverse_field_name())
    relation = AuditedRelation(audited, field.name, through, source, target)
    _relations[through] = (*_relations.get(through, ()), relation)
