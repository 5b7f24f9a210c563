"""Everything that crosses the wire, as frozen pydantic records; no database, no HTTP, no torch."""
