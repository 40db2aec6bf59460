"""Where threads come from besides tracking: files, the application's own table, the API's lists.

Terms in docs/glossary.md: cursor, discovery, scan, source, vanished, watermark.
"""
