-- For PostgreSQL alone, as 20261123000005 is.
SELECT 1;
