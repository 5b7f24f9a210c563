"""The calls of the Python client, by what they are about; `foldstep.client` has them together.

May import `service.contract`, and what they need to send and write: `file_body`, `frames`, `whole_file`,
`result_frames`. No rule of a search enters here, and no display.
"""
