"""What `python -m training.evaluate` is made of: items, answers, scorers, controls, intervals, plots, the page."""
