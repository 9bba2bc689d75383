"""Jobs of the shop."""

from __future__ import annotations

import shipper


def pack(order: int) -> None:
    shipper.audit.record("order-packed", ("order", order))


def change_customer(key: int, city: str) -> None:
    from tests.django_shop.models import Customer

    Customer.objects.filter(pk=key).update(city=city)
