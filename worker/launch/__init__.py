"""Start worker processes on this machine, one for each device, and end them.

May import `service.contract`, `worker.settings` and the standard library. Torch must not enter: this runs in the user's
command.
"""
