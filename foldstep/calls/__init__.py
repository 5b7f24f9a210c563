"""The calls of the Python client, by what they are about; `foldstep.client` has them together.

May import `service.contract`, `file_body`, `frames` and the HTTP client. Nothing here knows of a process on this
machine.
"""
