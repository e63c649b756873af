-- The tokens of a connection that its provider refused, sealed as one, until an operator undoes that or the time is over.
ALTER TABLE connections ADD COLUMN kept bytea, ADD COLUMN kept_until timestamptz;
--;;
ALTER TABLE connections ADD CONSTRAINT connections_kept_of_a_broken_one CHECK (
    (kept IS NULL) = (kept_until IS NULL) AND (kept IS NULL OR status = 'reconnect_required')
) NOT VALID;
--;;
ALTER TABLE connections ADD CONSTRAINT connections_kept_until_is_a_moment CHECK (
    kept_until BETWEEN timestamptz '1970-01-01 00:00:00Z' AND timestamptz '9000-01-01 00:00:00Z'
) NOT VALID;
--;;
CREATE INDEX connections_kept ON connections (kept_until) WHERE kept IS NOT NULL;
--;;
-- By when a connection's refresh token is to be renewed, as far as its provider says when it ends.
ALTER TABLE connections ADD COLUMN renew_by timestamptz;
--;;
ALTER TABLE connections ADD CONSTRAINT connections_renew_by_is_a_moment CHECK (
    renew_by BETWEEN timestamptz '1970-01-01 00:00:00Z' AND timestamptz '9000-01-01 00:00:00Z'
) NOT VALID;
--;;
CREATE INDEX connections_to_be_renewed_by ON connections (provider) WHERE renew_at IS NULL AND renew_by IS NOT NULL;
