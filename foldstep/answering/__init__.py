"""The child process in which a master works with a search's networks: it predicts rows, and says which columns matter.

Whoever starts a master tells it the name of this package. May import `models`, `service.contract`, `service.child`,
`service.analysis.scores`, `worker.data`, `worker.predictor`, `ensemble`, `frames`, `prediction` and `prediction_notes`.
Databases and HTTP must not enter here.
"""
