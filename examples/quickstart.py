"""A flow with nodes of its own, run in this process: python examples/quickstart.py"""

import asyncio

from jetfleet.workers import Context, NodeError, node, run

FLOW = """
name: quickstart
nodes:
  price: {type: quick.price, retry: {max_attempts: 3, initial_delay_ms: 50}}
  large: {type: std::switch, config: {expression: "total > 100"}}
  ship: {type: quick.ship}
edges: [{from: price, to: large}, {from: large.false, to: ship}]
"""


@node("quick.price")
async def price(order: dict, context: Context) -> dict:
    if context.attempt == 1:
        raise NodeError("the price list is busy")  # tried again: the flow allows three attempts
    return {"id": order["id"], "total": order["quantity"] * 12.5}


@node("quick.ship")
def ship(order: dict) -> str:
    return f"order {order['id']} is on its way"


result = asyncio.run(run(FLOW, {"id": 7, "quantity": 2}))
print(result.status, result.output)
