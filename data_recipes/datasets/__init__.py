"""Public data sets, one module each. `catalogue` says what each is; `convert` is the path that all of them take."""
