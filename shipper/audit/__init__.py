"""The audit trail: who did what to which resource, in a hash chain that reveals changes and gaps.

    shipper.audit.record("address-changed", "customer:42", changes={"city": ("Ulm", "Bonn")})

`api` is the public API, `writer` builds and writes the records, `chain` computes the hash chain, `chaining` appends to
it under a lock, `verify` checks it in Elasticsearch, `forget` erases a person's data without breaking it.
"""

from ..errors import AuditError
from .api import action, record

__all__ = ["AuditError", "action", "record"]
