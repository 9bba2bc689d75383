"""The shop with django-rq's pages."""

from __future__ import annotations

from django.http import HttpResponse
from django.urls import include, path

admin = ([path("login", lambda request: HttpResponse("who are you?"), name="login")], "admin")

urlpatterns = [path("rq/", include("django_rq.urls")), path("admin/", include(admin))]
