"""The data that steps read: a fold's rows on the device, the batches of an epoch, the rows that members are scored on.

May import `models` and `worker.data`; must not know how steps are taken, nor of trials.
"""
