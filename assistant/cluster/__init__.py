"""A worklist on many machines, through Ray."""
