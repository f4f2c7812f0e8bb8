"""Checks of a folder of example files: leaks between splits, balance, what can be answered blind, and a data card."""
