"""Everything lies in the folder that SHOP_FOLDER names; what a test wants otherwise is JSON in SHOP_SETTINGS."""

import json
import os
from pathlib import Path

_folder = Path(os.environ["SHOP_FOLDER"])

SECRET_KEY = "x" * 50
USE_TZ = True
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.django_shop.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "shipper.django",
    "django_rq",
    "tests.django_shop.apps.ShopConfig",
]
MIDDLEWARE = [
    "shipper.django.Middleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
DATABASES = {
    name: {"ENGINE": "django.db.backends.sqlite3", "NAME": str(_folder / f"{name}.sqlite3"), "OPTIONS": {"timeout": 60}}
    for name in ("default", "other")
}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # quick
SHIPPER = {"log": _folder / "records.jsonl", "service": "shop", "trusted_proxies": ["127.0.0.0/8"]}
RQ_QUEUES = {"letters": {"URL": os.environ.get("SHIPPER_REDIS", "redis://127.0.0.1:1/0")}}

globals().update(json.loads(os.environ.get("SHOP_SETTINGS", "{}")))
INSTALLED_APPS += globals().get("MORE_APPS", [])
MIDDLEWARE += globals().get("MORE_MIDDLEWARE", [])
