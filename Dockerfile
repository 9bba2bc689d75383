# One image for every program of ours: the shipper, RQ's worker, the demo's application.
FROM python:3.13-slim

RUN useradd --uid 10001 --create-home shipper \
    && install -d -o shipper -g shipper -m 0750 /var/log/shipper /var/lib/shipper

WORKDIR /srv
COPY pyproject.toml README.md LICENSE ./
COPY shipper ./shipper
RUN pip install --no-cache-dir . "elasticsearch>=9,<10"
COPY demo ./demo
COPY stack ./stack

USER shipper
CMD ["shipper", "run"]
