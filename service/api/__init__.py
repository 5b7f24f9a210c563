"""The REST API: one handler for each endpoint, thin, and the problem documents that refusals become.

May import `flow`, `auth`, `contract`, `settings` and FastAPI. No SQL and no rule enters here: a handler reads the
request, calls one use case and returns its answer.
"""
