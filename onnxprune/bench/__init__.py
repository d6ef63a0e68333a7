"""Latency of models per execution provider: measured in turns, with intervals and a self-test.

`onnxprune.bench.run.benchmark` is the entry; this package imports nothing by itself, because parts
of it run in other interpreters that have NumPy and ONNX Runtime only.
"""
