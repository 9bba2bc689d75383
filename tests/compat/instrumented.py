"""A pytest plugin: the process that runs RQ's tests is instrumented before the first of them."""

import shipper

shipper.instrument()
