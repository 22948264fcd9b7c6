"""Two orders on a fleet: one is charged at the third attempt, one is charged and then refunded, since it cannot be shipped.

    jetfleet up examples/payment.yaml --nodes examples/shop.py --queue default --queue payments --ephemeral
    python examples/fleet_quickstart.py

The second command goes into a terminal of its own.
"""

import asyncio
import sys

from jetfleet.broker import Client


def order(id: str, amount: float) -> dict:
    return {"order_id": id, "amount": amount, "customer": "c-7"}


async def main(*url: str) -> None:
    async with await Client.connect(*url) as client:  # nats://127.0.0.1:4222, unless an argument says otherwise
        busy = await client.start("payment", order("A-7", 120.07), id="A-7")  # on disk: it begins, whatever dies now
        again = await client.start("payment", order("A-7", 120.07), id="A-7")  # the same id is the same run
        sold_out = await client.start("payment", order("A-8", 120.99), id="A-8")
        paid, refunded = await busy.result(), await sold_out.result()
    print(paid.status, paid.output, "one run" if busy.id == again.id else "two runs")
    print(refunded.status, refunded.error.type)


asyncio.run(main(*sys.argv[1:]))
