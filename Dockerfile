# One image for every program of ours. What changes seldom comes first: a changed line of ours reinstalls no dependency.
# The versions of everything are in compose/*.lock, with hashes (`make lock`).
FROM python:3.13 AS build

WORKDIR /src
COPY compose/build.lock ./
RUN pip install --no-cache-dir --require-hashes -r build.lock
COPY pyproject.toml hatch_build.py README.md LICENSE CHANGELOG.md ./
COPY shipper ./shipper
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels .

# The slim image has no compiler.
FROM python:3.13-slim

# Other accounts that write the log share its group: docs/compose.md.
RUN groupadd --gid 10001 shipper \
    && useradd --uid 10001 --gid 10001 --create-home shipper \
    && install -d -o shipper -g shipper -m 2770 /var/log/shipper \
    && install -d -o shipper -g shipper -m 0700 /var/lib/shipper

WORKDIR /srv
COPY compose/requirements.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir --no-deps /wheels/*.whl
COPY compose ./compose
COPY demo ./demo

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001
CMD ["shipper", "run"]
