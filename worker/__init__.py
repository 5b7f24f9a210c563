"""The process that owns one device: it takes leases from a master, trains their trials and reports.

May import `models` and `service.contract`. The database, the planner and every other part of the service must not
enter: a worker knows its master by HTTP alone.
"""

if __name__ != "foldstep.worker":  # from the repository's root the folder could be imported under a second name
    raise ImportError("this folder is the package foldstep.worker: import it by that name")
