-- SQLite itself tells what others have changed: its log has a header that every commit
-- changes. PostgreSQL needs triggers here, so this one does nothing.
SELECT 1;
