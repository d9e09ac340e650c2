"""Shares generators as folders or on the Hugging Face hub."""
