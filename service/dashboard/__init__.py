"""The page: static files and the routes that send them with their security headers.

May import FastAPI and nothing of Foldstep but `contract` and `flow`. No data is written into the page by the server:
its scripts read the same REST API as everybody.
"""
