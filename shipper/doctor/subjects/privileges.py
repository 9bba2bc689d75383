"""What the credentials may do in Elasticsearch: enough to ship, and no more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..finding import Finding, error, note, warning

SUBJECT = "privileges"
# Of the role `shipper` (index/roles/shipper.json): without these, records cannot be shipped.
NEEDED_CLUSTER = ("monitor",)
NEEDED_RECORDS = ("create_doc", "auto_configure")
NEEDED_STATES = ("index",)
# Who may do this to audit records can change them after the fact.
TOO_MUCH = ("delete", "index", "delete_index")


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivilegeFacts:
    """What Elasticsearch answered: privilege → whether they are held. `records`: the same by index.

    `audit`: which of them has audit records. `is_states`, `prunes`: the settings `states` and `prune`. `user`: whose
    credentials they are.
    """

    user: str
    cluster: Mapping[str, bool]
    records: Mapping[str, Mapping[str, bool]]
    states: Mapping[str, bool]
    audit: str
    is_states: bool = True
    prunes: bool = True


def findings(facts: PrivilegeFacts) -> Iterator[Finding]:
    """What is missing, and what is too much."""
    lacking = [f"{name} on the cluster" for name in _lacking(facts.cluster, NEEDED_CLUSTER)]
    for name in NEEDED_RECORDS:
        where = [index for index, held in facts.records.items() if not held.get(name)]
        if where:
            everywhere = len(where) == len(facts.records)
            lacking.append(f"{name} on {'all indices of records' if everywhere else ', '.join(where)}")
    if facts.is_states:
        lacking += [f"{name} on the state index" for name in _lacking(facts.states, NEEDED_STATES)]
    reader = facts.records[facts.audit].get("read", False)
    if lacking and reader:
        yield note(
            SUBJECT,
            f"The credentials of {facts.user} can read, and not ship.",
            "That is right for a reader. `shipper run` needs the key of the role shipper (`shipper setup --roles`).",
        )
    elif lacking:
        yield error(
            SUBJECT,
            f"The credentials of {facts.user} lack {', '.join(lacking)}.",
            "`shipper setup --roles` makes a key with what the shipper needs: set it as SHIPPER_API_KEY.",
        )
    too_much = [name for name in TOO_MUCH if facts.records[facts.audit].get(name)]
    if too_much and not lacking:
        yield warning(
            SUBJECT,
            f"The credentials of {facts.user} may also change or delete audit records ({', '.join(too_much)}): whoever "
            "has this machine can, too.",
            "`shipper setup --roles` makes a key that can only add records: set it as SHIPPER_API_KEY.",
        )
    if facts.prunes and not lacking and not facts.records[facts.audit].get("delete_index"):
        yield note(
            SUBJECT,
            "These credentials may not delete old indices, which `shipper run` tries once a day.",
            "Set SHIPPER_PRUNE=false, and run `shipper prune --daily` with the key of the role pruner.",
        )


def _lacking(held: Mapping[str, bool], needed: Sequence[str]) -> list[str]:
    return [name for name in needed if not held.get(name)]
