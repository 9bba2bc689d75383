"""Some 300 jobs of the shop, pushed to three queues for a few dozen customers."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable

from redis import Redis
from rq import Queue, Retry

import shipper

from . import jobs

ORDERS = 90
CUSTOMERS = 30
FAVOURITE = "42"  # the customer whose day is told at the end: theirs has a bit of everything
NEWSLETTER_BYTES = 250_000
MONTHS = ("2026-01", "2026-02", "2026-03", "2026-04", "2026-05", "2026-06")

LOADED = "demo:loaded"  # the key that says so

QUEUES = ("payments", "mails", "reports")


class Shop:
    """The shop's side of the queues."""

    def __init__(self, redis: Redis) -> None:
        self.payments, self.mails, self.reports = (Queue(name, connection=redis) for name in QUEUES)

    def order(self, number: int, customer: str, *, declines: int = 0) -> None:
        """A customer buys something: a payment and two mails."""
        with shipper.log_context(user=f"user-{customer}", customer=customer):
            self.payments.enqueue(
                jobs.charge_card, number, 990 + 100 * (number % 40), declines, retry=Retry(max=2, interval=0)
            )
            self.mails.enqueue(jobs.send_mail, number, f"user-{customer}@shop.example")
            self.mails.enqueue(jobs.send_mail, number, f"stock-{number % 5}@shop.example")

    def moved(self, customer: str) -> None:
        """A customer has a new address: they get a mail about it."""
        with shipper.log_context(user=f"user-{customer}", customer=customer):
            self.mails.enqueue(jobs.send_mail, 0, f"user-{customer}@shop.example")

    def newsletter(self, customer: str) -> None:
        with shipper.log_context(user="marketing", customer=customer):
            self.mails.enqueue(jobs.send_newsletter, random.randbytes(NEWSLETTER_BYTES))

    def report(self, month: str) -> None:
        with shipper.log_context(user="office"):
            self.reports.enqueue(jobs.build_report, month)


def push(redis: Redis) -> int:
    """Push all of it and return how many jobs that were. The process must be instrumented."""
    shop = Shop(redis)
    dice = random.Random(7)  # the same day each time
    work: list[Callable[[], None]] = []
    for number in range(ORDERS):
        customer = FAVOURITE if number % 30 == 3 else str(dice.randrange(1, CUSTOMERS))
        declines = 3 if number == 33 else 2 if number == 3 else int(dice.random() < 0.1)
        work.append(lambda n=number, c=customer, d=declines: shop.order(n, c, declines=d))  # type: ignore[misc]
    work += [lambda: shop.report(dice.choice(MONTHS))] * 14
    work += [lambda: shop.newsletter(FAVOURITE)] * 3 + [lambda: shop.newsletter("7")] * 7
    dice.shuffle(work)
    for piece in work:
        piece()
    with shipper.log_context(user=f"user-{FAVOURITE}", customer=FAVOURITE):
        shop.payments.enqueue(jobs.refund, 3)
        shop.mails.enqueue(jobs.send_mail, 3, "typo@nowhere.example")
    with shipper.log_context(user="office"):
        shop.reports.enqueue(jobs.export_everything)
        shop.reports.enqueue(jobs.wait_for_supplier, job_timeout=1)
    return 3 * ORDERS + 14 + 10 + 4


def main() -> None:
    """Push the load to the Redis of SHIPPER_REDIS. With --once not if that Redis has had it before."""
    from shipper import settings

    shipper.instrument()
    redis = Redis.from_url(settings.load().redis)
    if "--once" in sys.argv[1:] and not redis.set(LOADED, "1", nx=True):
        print("the jobs were pushed before")
        return
    print(f"{push(redis)} jobs pushed to {', '.join(QUEUES)}")


if __name__ == "__main__":
    main()
