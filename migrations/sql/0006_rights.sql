-- The first keys of an empty database, and no others: whoever serves can neither add nor replace a key.
CREATE FUNCTION vaultd_make_first_keys(
    ids uuid[], purposes text[], root text, wrapped bytea[], checks bytea[], created_at timestamptz
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    LOCK TABLE public.keyring IN SHARE ROW EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM public.keyring) THEN
        RETURN false;
    END IF;
    INSERT INTO public.keyring (id, purpose, state, root, wrapped, "check", created_at)
    SELECT key.id, key.purpose, 'active', vaultd_make_first_keys.root, key.wrapped, key."check",
        vaultd_make_first_keys.created_at
    FROM unnest(ids, purposes, wrapped, checks) AS key (id, purpose, wrapped, "check");
    RETURN true;
END
$$;
--;;
-- Erases a subject with all that refers to it, once the event that says so is in the log.
CREATE FUNCTION vaultd_erase_subject(erased uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    subject public.subjects%ROWTYPE;
BEGIN
    SELECT * INTO subject FROM public.subjects WHERE id = erased FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF NOT EXISTS (
        SELECT FROM public.events WHERE subject_ref = subject.audit_ref AND type = 'subject.erased'
    ) THEN
        RAISE EXCEPTION 'subject % is not erased without an event that says so', erased
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    DELETE FROM public.subjects WHERE id = erased;
    DELETE FROM public.data_keys WHERE id = subject.data_key_id;
END
$$;
--;;
-- Erases those of these data keys that nothing refers to any more; a subject's is erased with the subject alone.
CREATE FUNCTION vaultd_erase_data_keys(erased uuid[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM public.data_keys AS key WHERE key.id = ANY (erased)
        AND NOT EXISTS (SELECT FROM public.subjects WHERE data_key_id = key.id)
        AND NOT EXISTS (SELECT FROM public.connections WHERE data_key_id = key.id)
        AND NOT EXISTS (SELECT FROM public.pending_grants WHERE data_key_id = key.id)
        AND NOT EXISTS (SELECT FROM public.revocations WHERE data_key_id = key.id)
        AND NOT EXISTS (SELECT FROM public.sign_ins WHERE data_key_id = key.id);
$$;
--;;
-- Forgets what was used once, as soon as the token that carried it has ended; never earlier than this server's clock says.
CREATE FUNCTION vaultd_forget_replayed(ended timestamptz) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM public.replay WHERE expires_at <= least(ended, clock_timestamp());
$$;
--;;
-- A lane is closed once, and nothing of it changes afterwards.
CREATE FUNCTION vaultd_refuse_reopening() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a closed lane is not changed'
        USING ERRCODE = 'insufficient_privilege';
END
$$;
--;;
CREATE TRIGGER closed_once BEFORE UPDATE ON lanes
    FOR EACH ROW WHEN (OLD.closed_at IS NOT NULL) EXECUTE FUNCTION vaultd_refuse_reopening();
--;;
ALTER TABLE lanes ENABLE ALWAYS TRIGGER closed_once;
--;;
-- As before, but for the lock: a row's, where it was one that any login could hold.
CREATE OR REPLACE FUNCTION vaultd_ensure_partition(wanted date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    month date := date_trunc('month', wanted)::date;
    name text := 'events_' || to_char(month, 'YYYY_MM');
BEGIN
    IF to_regclass('public.' || name) IS NOT NULL THEN
        RETURN;
    END IF;
    IF month < date_trunc('month', now() - interval '1 month')::date
        OR month > date_trunc('month', now() + interval '15 months')::date THEN
        RAISE EXCEPTION 'no partition is made for %: it is too far from today', month;
    END IF;
    PERFORM FROM public.locks WHERE locks.name = 'partitions' FOR UPDATE;
    IF to_regclass('public.' || name) IS NOT NULL THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE public.%I PARTITION OF public.events FOR VALUES IN (%L)', name, month);
    EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON public.%I
        FOR EACH STATEMENT EXECUTE FUNCTION public.vaultd_refuse_change()', name);
    EXECUTE format('ALTER TABLE public.%I ENABLE ALWAYS TRIGGER append_only', name);
    EXECUTE format('ALTER TABLE public.%I OWNER TO vaultd_owner', name);
    EXECUTE format('GRANT SELECT, INSERT ON public.%I TO vaultd_app', name);
    EXECUTE format('GRANT SELECT ON public.%I TO vaultd_sealer, vaultd_auditor', name);
END
$$;
--;;
DO $$
DECLARE
    signature text;
BEGIN
    FOREACH signature IN ARRAY ARRAY[
        'vaultd_make_first_keys(uuid[], text[], text, bytea[], bytea[], timestamptz)', 'vaultd_erase_subject(uuid)',
        'vaultd_erase_data_keys(uuid[])', 'vaultd_forget_replayed(timestamptz)', 'vaultd_refuse_reopening()'] LOOP
        EXECUTE format('ALTER FUNCTION public.%s OWNER TO vaultd_owner', signature);
        EXECUTE format('REVOKE ALL ON FUNCTION public.%s FROM PUBLIC', signature);
        IF signature NOT LIKE 'vaultd_refuse%' THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION public.%s TO vaultd_app', signature);
        END IF;
    END LOOP;
END
$$;
--;;
REVOKE INSERT, UPDATE ON keyring FROM vaultd_app;
--;;
REVOKE UPDATE (state, root, wrapped) ON keyring FROM vaultd_app;
--;;
REVOKE UPDATE, DELETE ON data_keys, subjects FROM vaultd_app;
--;;
GRANT UPDATE (held) ON subjects TO vaultd_app;
--;;
REVOKE DELETE ON connections FROM vaultd_app;
--;;
REVOKE UPDATE, DELETE ON replay FROM vaultd_app;
--;;
REVOKE UPDATE ON away_refusals, sessions FROM vaultd_app;
--;;
GRANT UPDATE (last_seen_at, mac) ON sessions TO vaultd_app;
--;;
GRANT SELECT, UPDATE (held) ON locks TO vaultd_app;
--;;
-- A login of the same server that has nothing to do with vaultd has no business here. The owner of the database may say
-- so; where another role owns it, `vaultd check` says what to run.
DO $$
BEGIN
    IF pg_has_role(current_user, (SELECT datdba FROM pg_database WHERE datname = current_database()), 'USAGE') THEN
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO vaultd_owner, vaultd_app, vaultd_sealer, vaultd_auditor',
            current_database());
        EXECUTE format('REVOKE CONNECT ON DATABASE %I FROM PUBLIC', current_database());
    END IF;
    -- Databases that come from before PostgreSQL 15 let everybody make tables and functions here.
    IF pg_has_role(current_user, (SELECT nspowner FROM pg_namespace WHERE nspname = 'public'), 'USAGE') THEN
        REVOKE CREATE ON SCHEMA public FROM PUBLIC;
    END IF;
END
$$;
