"""The C source of the native engine, and its build."""
