-- A process of an older release reads and writes connections in its own way, and would make of what is sealed anew
-- something that nobody can open. It names itself so; a newer one has another name.
DO $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'vaultd' AND pid <> pg_backend_pid()
    ) THEN
        RAISE EXCEPTION 'processes of an older vaultd are connected to this database: stop them, then migrate'
            USING ERRCODE = 'object_in_use';
    END IF;
END
$$;
--;;
SET LOCAL lock_timeout = '10s';
--;;
-- How a connection's access token is bound: 1 to what stands in `sealing.Place`, 2 to the row's other columns as well.
ALTER TABLE connections ADD COLUMN format smallint NOT NULL DEFAULT 1 CHECK (format IN (1, 2));
--;;
-- A keyed MAC over the session's other columns. Of sessions and sign-ins from before this nobody can say whose they
-- really are: their users sign in once more.
DELETE FROM sessions;
--;;
DELETE FROM sign_ins;
--;;
DELETE FROM data_keys WHERE purpose = 'sign_in';
--;;
ALTER TABLE sessions ADD COLUMN mac bytea NOT NULL;
--;;
-- Never read. PostgreSQL lets a role lock a row only if it may update some column of it.
ALTER TABLE subjects ADD COLUMN held smallint NOT NULL DEFAULT 0;
--;;
-- Rows to lock where work must be done by one at a time. Unlike an advisory lock, a row's lock needs a right.
CREATE TABLE locks (
    name text PRIMARY KEY,
    held smallint NOT NULL DEFAULT 0
);
--;;
INSERT INTO locks (name) VALUES ('import'), ('partitions');
--;;
ALTER TABLE locks OWNER TO vaultd_owner;
--;;
-- Where there is nothing yet, there is nothing to seal anew.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM connections) AND NOT EXISTS (SELECT FROM pending_grants) THEN
        ALTER TABLE connections ADD CONSTRAINT connections_sealed_anew CHECK (format = 2);
    END IF;
END
$$;
--;;
-- A moment is one that a program can read: neither infinite nor beyond the years that have four digits. One that is not
-- was put there by somebody else, and is brought within.
DO $$
DECLARE
    place record;
    first constant text := quote_literal('1970-01-01 00:00:00Z') || '::timestamptz';
    last constant text := quote_literal('9000-01-01 00:00:00Z') || '::timestamptz';
BEGIN
    FOR place IN
        SELECT table_name AS "table", column_name AS "column" FROM information_schema.columns
        WHERE table_schema = 'public' AND data_type = 'timestamp with time zone'
            AND table_name IN ('keyring', 'subjects', 'connections', 'narrowed_tokens', 'pending_grants', 'revocations',
                'sessions', 'sign_ins', 'replay', 'away_refusals', 'lanes')
            AND (table_name, column_name) <> ('connections', 'renew_at')
    LOOP
        EXECUTE format('UPDATE public.%1$I SET %2$I = least(greatest(%2$I, %3$s), %4$s) WHERE %2$I NOT BETWEEN %3$s AND %4$s',
            place."table", place."column", first, last);
        EXECUTE format('ALTER TABLE public.%1$I ADD CONSTRAINT %5$I CHECK (%2$I BETWEEN %3$s AND %4$s) NOT VALID',
            place."table", place."column", first, last, place."table" || '_' || place."column" || '_is_a_moment');
    END LOOP;
END
$$;
--;;
ALTER TABLE connections ADD CONSTRAINT connections_renew_at_is_a_moment CHECK (
    renew_at BETWEEN timestamptz '1970-01-01 00:00:00Z' AND timestamptz '9000-01-01 00:00:00Z'
    OR renew_at = timestamptz 'infinity'
) NOT VALID;
--;;
-- And a day is one that it can read.
UPDATE connections SET last_used_on = NULL WHERE last_used_on NOT BETWEEN date '1970-01-01' AND date '9000-01-01';
--;;
ALTER TABLE connections ADD CONSTRAINT connections_last_used_on_is_a_day
    CHECK (last_used_on BETWEEN date '1970-01-01' AND date '9000-01-01') NOT VALID;
--;;
ALTER TABLE lanes ADD CONSTRAINT lanes_period_is_a_month
    CHECK (period BETWEEN date '1970-01-01' AND date '9000-01-01' AND extract(day FROM period) = 1) NOT VALID;
--;;
-- What PostgreSQL can hold of an event by itself: the form of its mac, its size, and that it is of its own month, give
-- or take a clock. Events that are there already may stay as they are.
ALTER TABLE events ADD CONSTRAINT events_plausible CHECK (
    octet_length(mac) = 32
    AND octet_length(bytes) BETWEEN 2 AND 98304
    AND (at AT TIME ZONE 'UTC') >= period - 1
    AND (at AT TIME ZONE 'UTC') < period + 33
) NOT VALID;
--;;
-- Erasing a data key asks each of these tables whether it is in use.
CREATE INDEX subjects_by_data_key ON subjects (data_key_id);
--;;
CREATE INDEX pending_grants_by_data_key ON pending_grants (data_key_id);
--;;
CREATE INDEX pending_grants_by_subject ON pending_grants (subject_id);
--;;
CREATE INDEX revocations_by_data_key ON revocations (data_key_id);
--;;
CREATE INDEX revocations_by_subject ON revocations (subject_id);
--;;
CREATE INDEX sign_ins_by_data_key ON sign_ins (data_key_id);
--;;
-- Whether anybody whose account is not known lives on a grant is asked before a grant is ended.
CREATE INDEX connections_of_unknown_accounts ON connections (provider) WHERE account_lookup IS NULL;
