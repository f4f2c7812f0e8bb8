"""How the tables came to be, one step a file, run in order by Alembic."""
