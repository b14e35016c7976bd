-- What the server and the way into it say about themselves.
SELECT current_setting('server_version_num')::integer / 10000 AS major, clock_timestamp() AS at,
       current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes,
       current_setting('synchronous_commit') AS synchronous_commit,
       current_setting('data_checksums') AS data_checksums,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')::integer AS clients,
       current_setting('max_connections')::integer AS clients_max,
       (SELECT version_num FROM schema_version) AS migration
