-- A provider's notice names an account, or a refresh token by a part or a hash of it, and no subject. Both columns hold
-- keyed hashes; a connection made before this has none, until it is made anew.
ALTER TABLE connections ADD COLUMN account_lookup bytea, ADD COLUMN token_lookups bytea[];
--;;
CREATE INDEX connections_by_account ON connections (account_lookup) WHERE account_lookup IS NOT NULL;
--;;
CREATE INDEX connections_by_token ON connections USING gin (token_lookups) WHERE token_lookups IS NOT NULL;
--;;
CREATE INDEX connections_newest ON connections (created_at DESC, id DESC);
