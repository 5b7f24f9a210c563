"""Everything that crosses the wire, as frozen pydantic records, and rules that master and worker apply alike.

May import pydantic, numpy, yaml and httpx; `folds.py` alone imports scikit-learn. No database, no web server, no torch.
"""
