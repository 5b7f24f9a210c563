"""The training of a lease's trials: packs, the loop over epochs, early stopping, diagnostics, snapshots.

May import `models`, `service.contract`, `worker.steps`, `worker.feed` and `worker.data`. HTTP and files must not enter:
what goes to the master leaves through a callback. How a step is taken belongs to `worker.steps`.
"""
