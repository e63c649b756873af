DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['keyring', 'data_keys', 'subjects', 'connections', 'pending_grants', 'revocations',
                                'sessions', 'sign_ins', 'replay', 'lanes', 'events', 'alembic_version'] LOOP
        EXECUTE format('ALTER TABLE public.%I OWNER TO vaultd_owner', name);
    END LOOP;
END
$$;
--;;
ALTER FUNCTION vaultd_refuse_change() OWNER TO vaultd_owner;
--;;
ALTER FUNCTION vaultd_ensure_partition(date) OWNER TO vaultd_owner;
--;;
REVOKE ALL ON FUNCTION vaultd_ensure_partition(date) FROM PUBLIC;
--;;
GRANT EXECUTE ON FUNCTION vaultd_ensure_partition(date) TO vaultd_app;
--;;
GRANT SELECT, INSERT ON events TO vaultd_app;
--;;
GRANT SELECT, INSERT, UPDATE (closed_at, last_seq) ON lanes TO vaultd_app;
--;;
GRANT SELECT, INSERT, UPDATE (state, root, wrapped) ON keyring TO vaultd_app;
--;;
GRANT SELECT, INSERT, UPDATE, DELETE
    ON data_keys, subjects, connections, pending_grants, revocations, sessions, sign_ins, replay TO vaultd_app;
--;;
GRANT SELECT ON alembic_version TO vaultd_app, vaultd_sealer, vaultd_auditor;
--;;
GRANT SELECT ON events, lanes TO vaultd_sealer, vaultd_auditor;
--;;
SELECT vaultd_ensure_partition((date_trunc('month', now()) + make_interval(months => ahead))::date)
FROM generate_series(0, 12) AS ahead;
