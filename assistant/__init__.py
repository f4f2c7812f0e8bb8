"""Answers questions about medical images and drafts reports, with evidence; for research, not for clinical use."""

__version__ = "0.1.0"
