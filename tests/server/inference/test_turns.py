import asyncio

from llmi_server.inference.turns import Turns


def test_other_work_gets_its_turn_between_two_calls():
    order = []

    async def other_work():
        while len(order) < 9:
            order.append("other")
            await asyncio.sleep(0)

    async def run():
        turns = Turns()
        for name in ("first", "second", "third"):
            turns.add(lambda name=name: order.append(name))
        await other_work()

    asyncio.run(run())
    assert [name for name in order if name != "other"] == ["first", "second", "third"]
    assert order.index("first") + 1 < order.index("second")
    assert order.index("second") + 1 < order.index("third")


def test_a_call_that_is_added_later_is_made_too():
    async def run():
        turns, made = Turns(), asyncio.Event()
        turns.add(lambda: turns.add(made.set))
        await asyncio.wait_for(made.wait(), 20)

    asyncio.run(run())


def test_a_call_that_fails_holds_up_none_after_it():
    async def run():
        turns, made, failures = Turns(), asyncio.Event(), []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context["exception"]))
        turns.add(lambda: 1 / 0)
        turns.add(made.set)
        await asyncio.wait_for(made.wait(), 20)
        return failures

    (failure,) = asyncio.run(run())
    assert isinstance(failure, ZeroDivisionError)
