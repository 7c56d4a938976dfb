"""A process that uses the store and dies: `python -m tests.compat.store_child DIRECTORY WHAT N`.

`steps` does N steps of a fixed script and kills itself right after the last one returned;
`flood` queues reversals from N tasks until it is killed, and prints each key once it is durable;
`hold` opens the store and waits; `full` writes until the disk is full, at N bytes.
"""

import asyncio
import itertools
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from compat_http.store import Store, StoreBrokenError
from tests.compat.exchanges import AUTHORIZATION, exchange, opened, reversal, url_of


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


async def steps(store: Store) -> AsyncIterator[None]:
    """Queue, take back, start, settle and postpone in turn; `state_after` knows what is left."""
    for number in itertools.count():
        for name in ("a", "b", "c"):
            await store.queue_reversal(reversal(f"{name}{number}"))
            store.log(exchange())
            yield
        assert await store.take_back(AUTHORIZATION, f"a{number}")
        yield
        claimed = await store.claim(2)
        assert [each.reversal.key for each in claimed] == [f"b{number}", f"c{number}"]
        yield
        await store.settle(claimed[0])
        yield
        await store.postpone(claimed[1], 1800)
        yield


STEPS_EACH_ROUND = 7


def state_after(count: int) -> dict[str, bool]:
    """Keys that must be there after so many steps, and whether each has been started."""
    rounds, rest = divmod(count, STEPS_EACH_ROUND)
    state = {f"c{number}": True for number in range(rounds)}
    names = ("a", "b", "c")
    state |= {f"{name}{rounds}": False for name in names[:rest]}
    if rest >= 4:
        del state[f"a{rounds}"]
    if rest >= 5:
        state[f"b{rounds}"] = state[f"c{rounds}"] = True
    if rest >= 6:
        del state[f"b{rounds}"]
    return state


async def _die_after(store: Store, count: int) -> None:
    async for _ in steps(store):
        count -= 1
        if not count:
            os.kill(os.getpid(), signal.SIGKILL)


async def _flood(store: Store, tasks: int) -> None:
    async def one(task: int) -> None:
        for number in itertools.count():
            await store.queue_reversal(reversal(f"{task}-{number}"))
            say(f"{task}-{number}")
            store.log(exchange())

    await asyncio.gather(*map(one, range(tasks)))


async def _fill(directory: Path, size_bytes: int) -> None:
    broken = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_broken() -> None:
        loop.call_soon_threadsafe(broken.set)

    store = Store.open(url_of(directory), None, production=False, on_broken=on_broken)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, size_bytes))
    for number in itertools.count():
        try:
            await store.queue_reversal(reversal(f"{number}"))
        except StoreBrokenError:
            break
        say(f"{number}")
    await broken.wait()
    assert store.broken
    for refused in (store.queue_reversal(reversal("x")), store.take_back(AUTHORIZATION, "0")):
        try:
            await refused
        except StoreBrokenError:
            say("refused")
    store.log(exchange())
    await store.close()


async def _main(directory: Path, what: str, number: int) -> None:
    if what == "full":
        await _fill(directory, number)
        return
    async with opened(directory) as store:
        if what == "steps":
            await _die_after(store, number)
        elif what == "flood":
            await _flood(store, number)
        else:
            say("ready")
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
