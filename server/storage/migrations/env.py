"""Alembic's entry: runs revisions on the connection that `server.storage.migrate` hands over."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from alembic.migration import MigrationContext
from sqlalchemy import Connection, DefaultClause

from server.storage import schema

_TYPE_NAMES = {
    id(schema.INT64): "INT64",
    id(schema.SMALL): "SMALL",
    id(schema.TEXT): "TEXT",
    id(schema.BYTES): "BYTES",
}


def _render_item(kind: str, item: Any, _: AutogenContext) -> str | Literal[False]:
    """Writes our column types by the names that `script.py.mako` gives them."""
    if kind == "type":
        return _TYPE_NAMES.get(id(item), False)
    if kind == "server_default" and isinstance(item, DefaultClause):
        # As it stands in the schema, without the brackets that SQLite needs around some.
        return f"sa.text({str(item.arg)!r})"
    return False


connection: Connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=schema.metadata,
    render_item=_render_item,
    # SQLite cannot alter a table: a later revision copies it.
    render_as_batch=MigrationContext.configure(connection).get_current_revision() is not None,
)
with context.begin_transaction():
    context.run_migrations()
