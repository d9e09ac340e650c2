"""Generators passed on as a folder or through the Hugging Face hub."""
