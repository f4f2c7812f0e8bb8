"""Runs the model: picture features and text generation."""
