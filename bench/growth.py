"""A grown database: beside the users of the run, rows of users who do not come.

They are copies of a real user's rows under other keys, of the same size and in the same indexes. Nobody asks for them,
so that it does not matter that what is sealed in them does not open.
"""

from __future__ import annotations

from vaultd.sandbox.postgres import RunningPostgres

EVENTS_PER_CONNECTION = 10

# `jsonb_populate_record` copies every column there is and replaces those that are named.
_COPIES = """\
CREATE TEMP TABLE filler AS
SELECT gen_random_uuid() AS subject, gen_random_uuid() AS subject_key,
    gen_random_uuid() AS connection, gen_random_uuid() AS connection_key
FROM generate_series(1, {connections});

INSERT INTO data_keys
SELECT made.* FROM filler,
    (SELECT d AS one, to_jsonb(d) AS row FROM data_keys d WHERE purpose = 'subject' LIMIT 1) model,
    LATERAL jsonb_populate_record(model.one, model.row || jsonb_build_object('id', subject_key)) made;

INSERT INTO data_keys
SELECT made.* FROM filler,
    (SELECT d AS one, to_jsonb(d) AS row FROM data_keys d WHERE purpose = 'connection' LIMIT 1) model,
    LATERAL jsonb_populate_record(model.one, model.row || jsonb_build_object('id', connection_key)) made;

INSERT INTO subjects
SELECT made.* FROM filler,
    (SELECT s AS one, to_jsonb(s) AS row FROM subjects s LIMIT 1) model,
    LATERAL jsonb_populate_record(model.one, model.row || jsonb_build_object(
        'id', subject, 'data_key_id', subject_key,
        'lookup', sha256(('lookup ' || subject)::bytea), 'audit_ref', sha256(('ref ' || subject)::bytea))) made;

INSERT INTO connections
SELECT made.* FROM filler,
    (SELECT c AS one, to_jsonb(c) AS row FROM connections c LIMIT 1) model,
    LATERAL jsonb_populate_record(model.one, model.row || jsonb_build_object(
        'id', connection, 'subject_id', subject, 'data_key_id', connection_key,
        'account_ref', sha256(('account ' || subject)::bytea))) made;

INSERT INTO events
SELECT made.* FROM
    (SELECT connection, row_number() OVER () AS seq, gen_random_uuid() AS id
        FROM filler, generate_series(1, {events_each})) numbered,
    (SELECT e AS one, to_jsonb(e) || jsonb_build_object('writer', gen_random_uuid()) AS row FROM events e LIMIT 1)
        model,
    LATERAL jsonb_populate_record(model.one, model.row || jsonb_build_object(
        'seq', seq, 'id', id, 'connection_ref', sha256(connection::text::bytea),
        'subject_ref', sha256(('ref ' || connection)::bytea))) made;

DROP TABLE filler;
"""

# As after a night: statistics known, and no checkpoint of what was just written within the measurement.
_SETTLED = "VACUUM (ANALYZE); CHECKPOINT;"


def fill(postgres: RunningPostgres, database: str, *, connections: int) -> None:
    """Add so many connections of other users, with their events; then let the database come to rest."""
    if connections > 0:
        postgres.run(_COPIES.format(connections=connections, events_each=EVENTS_PER_CONNECTION), database=database)
    postgres.run(_SETTLED, database=database)
