"""The master: contract, planner, database, use cases, HTTP."""
