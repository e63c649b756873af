-- The roles that vaultd works with. Run once by an administrator of the server, connected to vaultd's database:
--
--   VAULTD_MIGRATE_PASSWORD=… VAULTD_SERVE_PASSWORD=… psql --dbname vaultd --file deploy/postgres-roles.sql
--
-- Group roles hold the rights, which the migrations give them. Login roles are members of one group each.
\set ON_ERROR_STOP on
\getenv migrate_password VAULTD_MIGRATE_PASSWORD
\getenv serve_password VAULTD_SERVE_PASSWORD

BEGIN;

-- Owns the tables and changes their shape.
CREATE ROLE vaultd_owner NOLOGIN;
-- Serves: reads and writes connections, and can only add to the audit log.
CREATE ROLE vaultd_app NOLOGIN;
-- Reads the audit log to seal it, and to check it.
CREATE ROLE vaultd_sealer NOLOGIN;
CREATE ROLE vaultd_auditor NOLOGIN;

CREATE ROLE vaultd_migrate LOGIN PASSWORD :'migrate_password' IN ROLE vaultd_owner;
CREATE ROLE vaultd_serve LOGIN PASSWORD :'serve_password' IN ROLE vaultd_app;

ALTER DATABASE :"DBNAME" OWNER TO vaultd_owner;

COMMIT;
