"""Who may do what: the master's token, tokens with scopes, sessions of the page, and what wrong ones cost.

May import `contract`, `db` and `settings`. Nothing of HTTP beyond methods and paths enters here: the guard in
`service/api/guard.py` asks this package before anything of a body is read.
"""
