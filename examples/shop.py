"""The own nodes of payment.yaml: a shop that charges, refunds and ships, without a bank behind it.

What goes wrong is decided by the amount's cents, as in the test mode of a payment provider, so that every run can be repeated:

    .07   the bank is busy at the first two attempts
    .13   the card is declined, and trying again would not help
    .99   the payment goes through, and then the parcel cannot be shipped
"""

from __future__ import annotations

from typing import Any

from jetfleet.workers import Context, NodeError, Permanent, node

BUSY, DECLINED, UNSHIPPABLE = 7, 13, 99


@node("shop.charge", idempotent=True)
async def charge(order: dict[str, Any], config: dict[str, Any], context: Context) -> dict[str, Any]:
    """Take the money.

    The receipt is the idempotency key, the same at every attempt: however often it is tried, the bank sees one payment.
    """
    cents = cents_of(config["amount"])
    if cents == DECLINED:
        raise Permanent(f"the card of {config['customer']} was declined", type="card_declined")
    if cents == BUSY and context.attempt < 3:
        raise NodeError("the bank is busy", type="bank_busy")
    return {"receipt": context.idempotency_key, "amount": config["amount"]}


@node("shop.refund", idempotent=True)
async def refund(charged: dict[str, Any], context: Context) -> dict[str, Any]:
    """Give the money back: the compensation of `charge`."""
    context.log.info("refunded", charged=charged)
    return {"refunded": True}


@node("shop.ship", idempotent=True)
async def ship(payment: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """Hand the parcel over."""
    if cents_of(payment["amount"]) == UNSHIPPABLE:
        raise Permanent(f"order {config['order_id']} is out of stock", type="out_of_stock")
    return {"order_id": config["order_id"], "shipped": True}


def cents_of(amount: float) -> int:
    return round(amount * 100) % 100
