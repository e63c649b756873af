CREATE TABLE keyring (
    id uuid PRIMARY KEY,
    purpose text NOT NULL CHECK (purpose IN ('kek', 'chain', 'lookup', 'signing')),
    state text NOT NULL CHECK (state IN ('active', 'decrypt-only', 'retired')),
    root text NOT NULL,
    wrapped bytea NOT NULL,
    "check" bytea NOT NULL,
    created_at timestamptz NOT NULL
);
--;;
CREATE UNIQUE INDEX keyring_one_active ON keyring (purpose) WHERE state = 'active';
--;;
CREATE TABLE data_keys (
    id uuid PRIMARY KEY,
    kek_id uuid NOT NULL REFERENCES keyring,
    purpose text NOT NULL CHECK (purpose IN ('subject', 'connection', 'pending', 'sign_in')),
    wrapped bytea NOT NULL
);
--;;
CREATE INDEX data_keys_by_kek ON data_keys (kek_id);
--;;
CREATE TABLE subjects (
    id uuid PRIMARY KEY,
    lookup bytea NOT NULL UNIQUE,
    audit_ref bytea NOT NULL UNIQUE,
    data_key_id uuid NOT NULL REFERENCES data_keys,
    sealed bytea NOT NULL,
    created_at timestamptz NOT NULL
);
--;;
CREATE TABLE connections (
    id uuid PRIMARY KEY,
    subject_id uuid NOT NULL REFERENCES subjects ON DELETE CASCADE,
    provider text NOT NULL,
    account_ref bytea NOT NULL,
    status text NOT NULL CHECK (status IN ('connected', 'reconnect_required', 'revoked')),
    reason text,
    generation bigint NOT NULL CHECK (generation > 0),
    revision bigint NOT NULL CHECK (revision > 0),
    granted_scopes text NOT NULL,
    expires_at timestamptz,
    data_key_id uuid REFERENCES data_keys,
    access_token bytea,
    refresh_token bytea,
    account bytea,
    metadata bytea,
    lease_owner uuid,
    lease_fence bigint NOT NULL DEFAULT 0,
    lease_until timestamptz,
    intent_fence bigint,
    intent_at timestamptz,
    last_used_on date,
    created_at timestamptz NOT NULL,
    connected_at timestamptz NOT NULL,
    UNIQUE (subject_id, provider, account_ref),
    CHECK ((status = 'connected') = (access_token IS NOT NULL))
);
--;;
CREATE INDEX connections_by_data_key ON connections (data_key_id);
--;;
CREATE TABLE pending_grants (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('api', 'door')),
    stage text NOT NULL CHECK (stage IN ('begun', 'sent', 'returned', 'done')),
    subject_id uuid NOT NULL REFERENCES subjects ON DELETE CASCADE,
    client_id text,
    provider text NOT NULL,
    redirect_uri text NOT NULL,
    code_challenge text,
    ticket_hash bytea UNIQUE,
    state_hash bytea UNIQUE,
    browser_hash bytea,
    auth_session_hash bytea UNIQUE,
    connect_code_hash bytea UNIQUE,
    data_key_id uuid NOT NULL REFERENCES data_keys,
    sealed bytea NOT NULL,
    granted bytea,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
--;;
CREATE INDEX pending_grants_by_expiry ON pending_grants (expires_at);
--;;
CREATE TABLE revocations (
    id uuid PRIMARY KEY,
    provider text NOT NULL,
    data_key_id uuid NOT NULL REFERENCES data_keys,
    sealed bytea NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    next_try_at timestamptz NOT NULL,
    subject_id uuid REFERENCES subjects ON DELETE SET NULL,
    created_at timestamptz NOT NULL
);
--;;
CREATE INDEX revocations_due ON revocations (next_try_at);
--;;
CREATE TABLE sessions (
    id_hash bytea PRIMARY KEY,
    subject_id uuid NOT NULL REFERENCES subjects ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
--;;
CREATE TABLE sign_ins (
    state_hash bytea PRIMARY KEY,
    browser_hash bytea NOT NULL,
    data_key_id uuid NOT NULL REFERENCES data_keys,
    sealed bytea NOT NULL,
    expires_at timestamptz NOT NULL
);
--;;
CREATE TABLE replay (
    jti_hash bytea PRIMARY KEY,
    expires_at timestamptz NOT NULL
);
--;;
CREATE INDEX replay_by_expiry ON replay (expires_at);
