"""The Django app: its tables, and the migrations that make them."""
