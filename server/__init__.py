"""The gift card service: domain rules, storage, ledger, and the gRPC edge.

Imports run one way, rpc to ledger to storage to domain, and only ``app`` sees all of them.
"""
