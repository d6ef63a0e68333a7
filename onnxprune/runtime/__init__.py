"""Everything that runs a model: sessions, their inputs, comparison, and a process to run them in.

The only package that imports ONNX Runtime, and it does so when the first session is opened:
importing any of these modules stays cheap.
"""
