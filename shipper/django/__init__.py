"""The Django application: `INSTALLED_APPS += ["shipper.django"]`. See docs/django.md.

The only folder that imports Django. Import it once the settings can be: from an application's modules, its models
too, and never from `shipper` itself.
"""

from .auditing import audited
from .middleware import Middleware

__all__ = ["Middleware", "audited"]
