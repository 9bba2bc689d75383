"""The audit trail: who did what to which thing, chained so that a change or a gap can be proven.

    shipper.audit.record("address-changed", "customer:42", changes={"city": ("Ulm", "Bonn")})

`api` is what applications call, `writer` builds and writes the records, `chain` and `chaining` link them, `verify`
checks the links in Elasticsearch, `forget` takes a person's data out and leaves the links whole.
"""

from ..errors import AuditError
from .api import action, record

__all__ = ["AuditError", "action", "record"]
