"""The process that draws: beside the loop, started late, mourned and replaced."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator

import psutil
import pytest

from server.certificate import Form, Studio, StudioBusyError, studio
from tests.certificate.test_drawing import PLAIN, certificate


@pytest.fixture
async def drawing() -> AsyncIterator[Studio]:
    made = Studio()
    yield made
    made.close()


def drawers() -> list[psutil.Process]:
    """The processes that this one started to draw."""
    return [
        child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())
    ]


async def until(condition: object) -> None:
    deadline = time.monotonic() + 20
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def test_it_draws_in_a_process_of_its_own(drawing: Studio) -> None:
    before = {child.pid for child in drawers()}
    content = await drawing.draw(PLAIN, Form.PDF)
    assert content.startswith(b"%PDF")
    (drawer,) = [child for child in drawers() if child.pid not in before]
    assert drawer.nice() > psutil.Process().nice()
    # The server's own signals are not for it.
    drawer.send_signal(signal.SIGTERM)
    drawer.send_signal(signal.SIGINT)
    assert (await drawing.draw(PLAIN, Form.PDF)) == content
    drawing.close()
    await until(lambda: not drawer.is_running() or drawer.status() == psutil.STATUS_ZOMBIE)


async def test_the_loop_goes_on_meanwhile(drawing: Studio) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.002)
            ticks += 1

    ticking = asyncio.create_task(tick())
    drawn = await asyncio.gather(
        *(drawing.draw(certificate(str(number)), Form.PNG) for number in range(4))
    )
    ticking.cancel()
    assert len(set(drawn)) == 4
    assert ticks > 20


async def test_a_drawer_that_dies_is_replaced(drawing: Studio) -> None:
    await drawing.draw(PLAIN, Form.PDF)
    before = {child.pid for child in drawers()}
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    assert (await drawing.draw(PLAIN, Form.PDF)).startswith(b"%PDF")
    assert not before & {c.pid for c in drawers() if c.status() != psutil.STATUS_ZOMBIE}


async def test_too_many_are_told_to_come_back(
    drawing: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studio, "_WAITING_MAX", 2)
    waiting = [asyncio.create_task(drawing.draw(PLAIN, Form.PDF)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(StudioBusyError):
        await drawing.draw(PLAIN, Form.PDF)
    await asyncio.gather(*waiting)
    assert await drawing.draw(PLAIN, Form.PDF)


async def test_nobody_is_left_behind_by_a_server_that_is_killed() -> None:
    program = (
        "import asyncio, sys\n"
        "from server.certificate import Form, Studio\n"
        "from tests.certificate.test_drawing import PLAIN\n"
        "async def main():\n"
        "    studio = Studio()\n"
        "    await studio.draw(PLAIN, Form.PDF)\n"
        "    print('drawn', flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "if __name__ == '__main__':\n"
        "    asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"drawn\n"
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.kill()
    await process.wait()
    gone, alive = await asyncio.to_thread(psutil.wait_procs, children, timeout=20)
    assert not alive
    assert len(gone) == len(children)
