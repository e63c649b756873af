CREATE TABLE lanes (
    writer uuid PRIMARY KEY,
    period date NOT NULL,
    opened_at timestamptz NOT NULL,
    closed_at timestamptz,
    last_seq bigint
);
--;;
-- One row for each decision. `bytes` is the canonical event (RFC 8785); the other columns are derived from it.
CREATE TABLE events (
    period date NOT NULL,
    writer uuid NOT NULL,
    seq bigint NOT NULL CHECK (seq > 0),
    mac bytea NOT NULL,
    bytes bytea NOT NULL,
    id uuid NOT NULL,
    at timestamptz NOT NULL,
    type text NOT NULL,
    decision text NOT NULL,
    client_id text,
    connection text,
    subject_ref bytea,
    connection_ref bytea,
    PRIMARY KEY (period, writer, seq)
) PARTITION BY LIST (period);
--;;
CREATE INDEX events_newest ON events (period DESC, at DESC, writer DESC, seq DESC);
--;;
CREATE INDEX events_by_subject ON events (subject_ref, period DESC, at DESC);
--;;
CREATE INDEX events_by_connection ON events (connection_ref, period DESC, at DESC);
--;;
CREATE INDEX events_by_id ON events (id);
--;;
CREATE FUNCTION vaultd_refuse_change() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only: % on % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$$;
--;;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON events
    FOR EACH STATEMENT EXECUTE FUNCTION vaultd_refuse_change();
--;;
ALTER TABLE events ENABLE ALWAYS TRIGGER append_only;
--;;
-- A parent's statement trigger does not see a statement that names one partition, nor do its grants reach it:
-- each partition gets its own of both. ALWAYS, so that session_replication_role does not switch it off.
CREATE FUNCTION vaultd_ensure_partition(wanted date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
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
    EXECUTE format('CREATE TABLE public.%I PARTITION OF public.events FOR VALUES IN (%L)', name, month);
    EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON public.%I
        FOR EACH STATEMENT EXECUTE FUNCTION public.vaultd_refuse_change()', name);
    EXECUTE format('ALTER TABLE public.%I ENABLE ALWAYS TRIGGER append_only', name);
    EXECUTE format('ALTER TABLE public.%I OWNER TO vaultd_owner', name);
    EXECUTE format('GRANT SELECT, INSERT ON public.%I TO vaultd_app', name);
    EXECUTE format('GRANT SELECT ON public.%I TO vaultd_sealer, vaultd_auditor', name);
END
$$;
