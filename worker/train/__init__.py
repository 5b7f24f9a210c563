"""Trains members: cuts them into packs, trains the packs, decides between epochs who stops, and takes snapshots.

May import `models`, `worker.data`, `worker.feed`, `worker.steps`, the contract; knows nothing of leases or the master.
"""
