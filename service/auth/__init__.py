"""Who may do what: the master's token, tokens with scopes, sessions of the page, and what wrong ones cost.

May import `service.db` and what stands below it; nothing of HTTP beyond methods and paths enters here. The guard in
`service/api/guard.py` asks it before any body is read.
"""
