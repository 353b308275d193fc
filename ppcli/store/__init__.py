"""Rows and patch sets ↔ Parquet: schemas, atomic files, writers, reader, verification."""
