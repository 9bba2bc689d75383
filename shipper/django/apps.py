"""The AppConfig: sets everything up once per process, in web servers, workers and commands."""

from __future__ import annotations

import os
from typing import Any

from django.apps import AppConfig
from django.conf import ENVIRONMENT_VARIABLE, settings
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.core.checks import register

from ..emit.instrument import instrument
from ..emit.patches import spawn as spawn_patch
from ..guard import never_raise
from ..settings import set_application_settings
from . import checks, dashboard, middleware, on_commit, registry


class ShipperConfig(AppConfig):
    """Instruments the process, with the settings in Django's `settings.SHIPPER`."""

    name = "shipper.django"
    label = "rq_shipper"  # a project may have an app called "shipper"
    verbose_name = "rq-shipper"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        # Here and not in ready(): the ready() of another app may run first and write records.
        set_application_settings("settings.SHIPPER", getattr(settings, "SHIPPER", None) or {})

    def ready(self) -> None:
        # Each step on its own, so that a failure affects neither the other steps nor the application.
        for step in _STEPS:
            with never_raise(f"django: {step.__name__}"):
                step()


def _instrument() -> None:
    instrument()
    if os.environ.get(ENVIRONMENT_VARIABLE) and not spawn_patch.set_up:
        spawn_patch.set_up.append("from shipper.django import spawn; spawn.set_up()\n")


def _carry_contexts() -> None:
    on_commit.wrap_on_commit()
    on_commit.wrap_thread_queue()


def _follow_sign_in() -> None:
    user_logged_in.connect(middleware.forget_actor, dispatch_uid="shipper")
    user_logged_out.connect(middleware.remember_actor, dispatch_uid="shipper")


def _register_checks() -> None:
    register(checks.check, checks.TAG)


_STEPS = (
    _instrument,
    _carry_contexts,
    _follow_sign_in,
    dashboard.wrap_requeue,
    registry.install,
    _register_checks,
)
