"""Records when Python's backoff makes its attempts, under a clock of ours, for
random options with a fixed seed (traces), and the cases in which Holdfast
decides otherwise on purpose (differences). Run it where backoff 2.2.1 can be
imported, as after `apt-get install python3-backoff` on Debian 12, with

    python3 record.py > backoff.json

or `make golden` for all recordings.
"""
import datetime as real
import inspect
import json
import logging
import platform
import random
import sys

import backoff
from backoff import _sync

logging.getLogger("backoff").addHandler(logging.NullHandler())
chance = random.Random(20261124)


class Clock:
    """Stands in for the modules time and datetime: sleeping is free."""

    elapsed = 0.0

    @property
    def datetime(self):
        return self

    def now(self):
        return real.datetime(2026, 1, 1) + real.timedelta(seconds=self.elapsed)

    def sleep(self, seconds):
        self.elapsed += seconds


def record(name, wait, kwargs, jitter, failures, took=0, on="exception", **limits):
    clock = Clock()
    _sync.time, _sync.datetime = clock, clock
    attempts, randoms = [], []

    def draw():
        randoms.append(chance.random())
        return randoms[-1]

    random.random = draw
    random.uniform = lambda a, b: a + (b - a) * draw()

    def action():
        attempts.append(round(clock.elapsed, 9))
        clock.elapsed += took
        failed = len(attempts) <= failures
        if failed and on == "exception":
            raise OSError
        return failed

    jitters = {"full": backoff.full_jitter, "random": backoff.random_jitter, "none": None}
    settings = dict(jitter=jitters[jitter], **limits, **kwargs)
    if on == "exception":
        decorated = backoff.on_exception(getattr(backoff, wait), OSError, **settings)(action)
    else:
        decorated = backoff.on_predicate(getattr(backoff, wait), lambda failed: failed, **settings)(action)
    try:
        end = "failed" if decorated() else "worked"
    except OSError:
        end = "failed"
    return dict(name=name, on=on, wait=wait, **kwargs, jitter=jitter, **limits, failures=failures, took=took,
                attempts=attempts, randoms=randoms, end=end)


def trace(i):
    wait = chance.choice(["expo", "expo", "fibo", "constant"])
    jitter = chance.choice(["full", "full", "none", "random"])
    kwargs = {}
    if wait == "expo":
        kwargs["base"] = chance.choice([1.5, 2, 3])
        kwargs["factor"] = chance.choice([0.1, 0.5, 1, 2])
    if wait == "constant":
        kwargs["interval"] = chance.choice([0.25, 1, 5])
    elif jitter != "random" and chance.random() < 0.6:
        kwargs["max_value"] = chance.choice([2, 7, 30])
    limits = {"max_tries": chance.choice([1, 2, 3, 5, 8])}
    if chance.random() < 0.4:
        limits["max_time"] = chance.choice([1, 5, 20])
    on = chance.choice(["exception", "exception", "predicate"])
    return record(f"random {i}", wait, kwargs, jitter, chance.choice([0, 1, 2, 4, 99]), on=on, **limits)


traces = [trace(i) for i in range(100)]
differences = [
    record("the last wait is cut so that it ends with max_time", "expo", {}, "none", 99, max_time=10),
    record("max_time does not count the call that is under way", "expo", {}, "none", 99, took=4, max_time=10),
    record("random jitter goes above max_value", "expo", {"max_value": 2}, "random", 99, max_tries=5),
]


def parameters(f):
    return [p.name for p in inspect.signature(f).parameters.values() if p.kind != p.VAR_KEYWORD]


names = {
    "options": sorted({p for f in (backoff.on_exception, backoff.on_predicate, backoff.expo, backoff.fibo,
                                   backoff.constant, backoff.runtime) for p in parameters(f)}),
    "members": sorted(backoff.__all__),
}
print('{"recorded":' + json.dumps({"backoff": backoff.__version__, "python": platform.python_version()})
      + ',\n"names":' + json.dumps(names)
      + ',\n"traces":[\n' + ",\n".join(json.dumps(t) for t in traces)
      + '\n],\n"differences":[\n' + ",\n".join(json.dumps(t) for t in differences) + "\n]}")
