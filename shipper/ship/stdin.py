"""`shipper run --stdin`: ships a pipe until its end, such as the output of a worker where only that is kept."""

from __future__ import annotations

import os
import signal
import stat
import threading
from collections.abc import Callable

from ..errors import DestinationError
from ..settings import Settings
from .bulk.dead_letters import DeadLetters
from .counting.counting import from_settings
from .daemon import PREPARE_EVERY_S, REST_S, RETRY_TIMEOUT_S, SEND_WAITING_EVERY_S, Interval, blocks, reader_of
from .pipeline import Pipeline
from .reader.text_lines import TextLines
from .source.spool import Spool
from .source.tail import Stream
from .status import Counts


def run_stream(settings: Settings, descriptor: int = 0) -> Counts:
    """Ship a stream, standard input by default, until its end. Then retry for RETRY_TIMEOUT_S at most.

    Of JSON lines, what is read is kept in the state folder until it is indexed, and lines of text become records of the
    application. Raises StateError, DestinationError.
    """
    _outlive_signals(descriptor)
    counting = from_settings(settings, persistent=False)
    dead_letters = DeadLetters(settings.state)
    is_text = settings.format == "legacy"
    limit_s = RETRY_TIMEOUT_S if is_text else None
    pipeline = Pipeline(
        settings, dead_letters, threading.Event(), limit_s, reader=reader_of(settings), counting=counting
    )
    if counting is not None:
        counting.start()
    try:
        if is_text:
            _ship_text(descriptor, pipeline)
        else:
            _ship_lines(settings, descriptor, pipeline)
    finally:
        pipeline.close()
        if counting is not None:
            counting.stop()
    return pipeline.counts


def _outlive_signals(descriptor: int) -> None:
    """Of a pipe the end is what its writers decide: a worker that is told to end still runs its job, and records it.

    Whoever stops a container or presses Ctrl-C sends the signal to all processes at once.
    """
    if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)


def _ship_lines(settings: Settings, descriptor: int, pipeline: Pipeline) -> None:
    spool = Spool(settings.state, descriptor, TextLines(settings).records, lambda: pipeline.end_within(RETRY_TIMEOUT_S))
    due: dict[Callable[[], None], Interval] = {
        pipeline.prepare: Interval(PREPARE_EVERY_S),
        pipeline.send_waiting: Interval(SEND_WAITING_EVERY_S),
    }
    try:
        while True:
            for task, interval in due.items():
                if interval.due():
                    task()
            if ended := spool.ended.is_set():
                spool.finish()
            if not pipeline.ship(blocks(spool.files, threading.Event()), REST_S):
                if ended:
                    break
                spool.renew()
                spool.wait(REST_S)
        pipeline.finish()
    except DestinationError as error:
        left = spool.close()
        raise type(error)(
            f"{error} {left} bytes of standard input are kept in the state folder {settings.state}: the next `shipper "
            "run --stdin` with it ships them.",
            error.status,
        ) from error
    except BaseException:
        spool.close()
        raise
    spool.close()


def _ship_text(descriptor: int, pipeline: Pipeline) -> None:
    stream = Stream(descriptor, multiline=True)
    pipeline.prepare()
    while not stream.ended:
        if (block := stream.read()) is not None:
            pipeline.ship([block])
    pipeline.finish()
