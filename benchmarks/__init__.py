"""Side-by-side measurements. Run from a checkout: they are no part of the installed package."""
