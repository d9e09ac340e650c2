"""Generators handed on: ONNX and safetensors files, folders of the hub."""
