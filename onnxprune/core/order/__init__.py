"""Channel orders: one order of a stream's channels that serves as many of its consumers as it can.

A consumer that wants some channels of a stream reads them without a copy if they lie next to each
other. `consecutive_order` finds an order in which they do for every consumer, whenever there is
one; `best_order` finds the order that copies the fewest bytes where there is none;
`upscale_order` is the published path heuristic, to compare with. Nothing here knows of graphs:
channels are the numbers below n, consumers are sets of them.
"""

from __future__ import annotations

from onnxprune.core.order.best import Order, best_order, consecutive_order, evaluate_order
from onnxprune.core.order.operands import Operands
from onnxprune.core.order.upscale import upscale_order

__all__ = [
    "Operands",
    "Order",
    "best_order",
    "consecutive_order",
    "evaluate_order",
    "upscale_order",
]
