"""An ensemble's arithmetic outside of Foldstep: as a PyTorch module, and as an ONNX graph with its preprocessing.

The formulas are written once, over the operations of `ops`, and both sides implement these. May import `models`,
`service.contract`, `worker.data`, `worker.predictor` and `ensemble`; torch and onnx only in the modules that
are named after them. Files, masters and commands must not enter here.
"""
