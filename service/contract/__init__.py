"""All that crosses the wire, as frozen pydantic records, and the rules that master and worker must apply alike.

May import pydantic, numpy, yaml, httpx and the torch-free tables of `models`; `folds` alone imports scikit-learn. No
database, no server, no torch and no file of the user enters here, because master, worker and client all stand on it.
"""
