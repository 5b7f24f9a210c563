"""The use cases: one file for each, one transaction for each call.

May import `contract`, `planner`, `data`, `analysis`, `db`, `settings`, `folder`, `child` and the torch-free tables of
`models`. No SQL, no HTTP and no FastAPI enter here. What a search, a trial or a lease becomes next is decided here and
nowhere else.
"""
