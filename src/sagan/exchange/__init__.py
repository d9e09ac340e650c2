"""Exports generators and opens them again: ONNX and safetensors files, hub folders."""
