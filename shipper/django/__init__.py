"""The Django app: `INSTALLED_APPS += ["shipper.django"]`. See docs/django.md.

Only this package imports Django. Import it from a Django project's modules, models included, where Django's settings
are available; never from other modules of `shipper`.
"""

from .auditing import audited
from .middleware import Middleware

__all__ = ["Middleware", "audited"]
