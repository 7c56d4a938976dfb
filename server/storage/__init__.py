"""All SQL of the product: schema, statements, engines, migrations."""
