-- Group roles, shared by all databases of the cluster. Another database may be making them at this moment.
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['vaultd_owner', 'vaultd_app', 'vaultd_sealer', 'vaultd_auditor'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
            EXCEPTION
                WHEN duplicate_object OR unique_violation THEN NULL;
                WHEN insufficient_privilege THEN
                    RAISE EXCEPTION 'role % is missing and % may not create it', wanted, current_user
                        USING HINT = format('Run as an administrator: CREATE ROLE %I NOLOGIN;', wanted);
            END;
        END IF;
    END LOOP;
    IF NOT pg_has_role(current_user, 'vaultd_owner', 'MEMBER') THEN
        EXECUTE format('GRANT vaultd_owner TO %I', current_user);
    END IF;
END
$$;
--;;
GRANT CREATE, USAGE ON SCHEMA public TO vaultd_owner;
--;;
GRANT USAGE ON SCHEMA public TO vaultd_app, vaultd_sealer, vaultd_auditor;
