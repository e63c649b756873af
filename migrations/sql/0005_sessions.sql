-- The issuer's own session (`sid`), as a keyed hash: by it a logout token finds ours. A session that was opened before
-- this has none, and is ended by its subject.
ALTER TABLE sessions ADD COLUMN sid_lookup bytea;
--;;
CREATE INDEX sessions_by_sid ON sessions (sid_lookup) WHERE sid_lookup IS NOT NULL;
--;;
CREATE INDEX sessions_by_subject ON sessions (subject_id);
--;;
CREATE INDEX sign_ins_by_expiry ON sign_ins (expires_at);
--;;
-- Keys of sign-ins that were given up, which used to stay.
DELETE FROM data_keys WHERE purpose = 'sign_in' AND id NOT IN (SELECT data_key_id FROM sign_ins);
