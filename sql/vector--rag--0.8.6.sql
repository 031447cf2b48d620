-- Back to the number of the version: nothing else differs.

\echo Use "ALTER EXTENSION vector UPDATE" to load this file. \quit
