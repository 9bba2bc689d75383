"""`audited`: writes an audit record for every change of a model's rows, with the values before and after.

@audited                                        # every field with a column, and many-to-many
class Order(models.Model): ...

@audited(fields=["total", "customer", "tags"])
class Order(models.Model): ...

audited(User, fields=["email", "is_staff"])     # a third-party model: in the ready() of your AppConfig
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar, overload

from ..guard import never_raise
from . import registry

Model = TypeVar("Model", bound=type[Any])


@overload
def audited(model: Model, *, fields: Iterable[str] | None = None) -> Model: ...


@overload
def audited(model: None = None, *, fields: Iterable[str] | None = None) -> Callable[[Model], Model]: ...


def audited(model: Any = None, *, fields: Iterable[str] | None = None) -> Any:
    """Record each creation, change and deletion of the model's rows, when the transaction has committed.

    `fields` are the names of the fields to compare and record. Default: every field with a column except the primary
    key, and every many-to-many field. Proxies and inheriting models are included; an abstract model stands for its
    concrete subclasses. Needs "shipper.django" in INSTALLED_APPS. Never raises: unknown field names are reported by
    Django's system checks.
    """
    if model is None:
        return lambda decorated: audited(decorated, fields=fields)
    with never_raise("audited"):
        registry.add(model, fields)
    return model
