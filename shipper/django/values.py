"""Normalises the values of fields, for comparing them and for records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.backends.utils import format_number
from django.db.models import DecimalField, JSONField, Model
from django.db.models.fields.files import FieldFile
from django.utils.functional import Promise

_TEXT = (Decimal, date, time, timedelta, UUID, Promise)  # a datetime is a date


def is_expression(value: object) -> bool:
    """Whether the value is computed by the database, such as F("total") + 1."""
    return hasattr(value, "resolve_expression")


def normal(field: Any, value: Any) -> Any:
    """The value as the database would return it: "5" becomes 5. Never the application's own mutable object."""
    if isinstance(value, Model):
        value = getattr(value, field.target_field.attname)
    if value is None:
        return None
    try:
        if isinstance(field, JSONField):
            return json.loads(json.dumps(value, cls=field.encoder))
        value = field.to_python(value)
        if isinstance(field, DecimalField):
            return Decimal(format_number(value, field.max_digits, field.decimal_places))
    except (ValidationError, TypeError, ValueError, ArithmeticError):
        pass  # the field accepted a value that its to_python rejects
    return plain(value) if isinstance(value, list | tuple | set | Mapping | FieldFile) else value


def plain(value: Any) -> Any:
    """The value as JSON types. For unknown types the redactor writes the type's name."""
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, FieldFile):
        return value.name
    if isinstance(value, _TEXT):
        return value.isoformat() if isinstance(value, date | time) else str(value)
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(one) for one in value]
    return value
