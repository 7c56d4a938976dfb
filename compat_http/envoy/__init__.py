"""The edge: Envoy's configuration, and `make edge`, which runs it before service and shim.

The .yaml files are the edge; nothing here is needed to run them elsewhere.
"""
