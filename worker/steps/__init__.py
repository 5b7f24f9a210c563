"""The ways to take the steps of a pack: eager, captured graphs, compiled, fused, and the choice between them.

May import `models`, `worker.feed`, `worker.data` and `service.contract.errors`; knows nothing of trials, leases, or
what is decided between epochs.
"""
