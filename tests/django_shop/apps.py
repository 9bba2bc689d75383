from __future__ import annotations

from django.apps import AppConfig


class ShopConfig(AppConfig):
    name = "tests.django_shop"
    label = "shop"

    def ready(self) -> None:
        from django.contrib.auth.models import User

        from shipper.django import audited

        audited(User, fields=["email", "password", "is_staff"])
