-- A provider's token for fewer scopes than the grant has: sealed under the data key of the connection's generation,
-- bound to the connection, its generation, the scopes and the expiry. `scopes` is sorted, with single spaces.
CREATE TABLE narrowed_tokens (
    connection_id uuid NOT NULL REFERENCES connections ON DELETE CASCADE,
    scopes text NOT NULL,
    generation bigint NOT NULL CHECK (generation > 0),
    expires_at timestamptz,
    access_token bytea NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (connection_id, scopes)
);
--;;
-- A row: this user does not let this client act for them while they are away.
CREATE TABLE away_refusals (
    subject_id uuid NOT NULL REFERENCES subjects ON DELETE CASCADE,
    client_id text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (subject_id, client_id)
);
--;;
ALTER TABLE narrowed_tokens OWNER TO vaultd_owner;
--;;
ALTER TABLE away_refusals OWNER TO vaultd_owner;
--;;
GRANT SELECT, INSERT, UPDATE, DELETE ON narrowed_tokens, away_refusals TO vaultd_app;
