"""The imaging door: any path or bytes becomes a `Picture` without patient data."""
