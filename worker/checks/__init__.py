"""The checks before a search, which ask if training in this space behaves as training should.

May import `models`, `service.contract`, `worker.settings`, `worker.train`, `worker.steps`, `worker.feed` and
`worker.data`. HTTP and files must not enter: a check gets networks and data, and returns what it found.
"""
