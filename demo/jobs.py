"""The shop's jobs: mails, payments, reports. Some are slow, some fail, and one eats all memory."""

from __future__ import annotations

import os
import random
import signal
import time

from shipper import audit


class CardDeclined(Exception):
    """The bank said no."""


class AddressUnknown(Exception):
    """There is no such mailbox."""


def send_mail(order: int, to: str) -> str:
    """A quick job, and by far the most frequent one."""
    time.sleep(random.uniform(0.01, 0.05))
    if to.endswith("@nowhere.example"):
        raise AddressUnknown(f"no mailbox {to} for order {order}")
    audit.record("mail-sent", ("order", order), category="email")
    return "sent"


def send_newsletter(html: bytes) -> int:
    """Whoever wrote this hands the whole page over instead of its address: a fat payload."""
    time.sleep(random.uniform(0.02, 0.06))
    return len(html)


def charge_card(order: int, cents: int, declines: int = 0) -> str:
    """A payment. The bank declines it `declines` times before it accepts."""
    time.sleep(random.uniform(0.04, 0.12))
    from rq import get_current_job

    job = get_current_job()
    left = job.retries_left if job is not None and job.retries_left is not None else 0
    with audit.action("card-charged", ("order", order)):
        if left > 2 - declines:
            raise CardDeclined(f"order {order}: {cents / 100:.2f} declined")
    return "charged"


def refund(order: int) -> str:
    """Nobody finished this one."""
    raise NotImplementedError(f"refund of order {order}")


def build_report(month: str) -> str:
    """A slow job."""
    time.sleep(random.uniform(0.3, 0.9))
    return f"report of {month}"


def export_everything() -> None:
    """A job that takes more memory than there is, and is killed by the kernel."""
    os.kill(os.getpid(), signal.SIGKILL)


def wait_for_supplier() -> None:
    """A job that hangs until its timeout."""
    time.sleep(60)
