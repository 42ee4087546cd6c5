"""Store: all SQL. Tables, statements, migrations; no rules. Both databases side by side."""
