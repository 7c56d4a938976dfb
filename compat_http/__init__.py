"""The HTTP shim: tills and shops that speak a documented legacy API use the same gift cards.

Knows the contract `giftcard.v1` and nothing of `server`.
"""
