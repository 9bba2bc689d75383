# One image for every program of ours: the shipper, RQ's worker, the demo's application.
FROM python:3.13 AS build

WORKDIR /src
COPY pyproject.toml hatch_build.py README.md LICENSE CHANGELOG.md ./
COPY shipper ./shipper
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

# The slim image has no compiler.
FROM python:3.13-slim

RUN useradd --uid 10001 --create-home shipper \
    && install -d -o shipper -g shipper -m 0750 /var/log/shipper /var/lib/shipper

WORKDIR /srv
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir /wheels/*.whl "elasticsearch>=9,<10"
COPY demo ./demo
COPY stack ./stack

USER shipper
CMD ["shipper", "run"]
