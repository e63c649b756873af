-- When the refresh token was last used with success, and when the background refresher looks at the row next: NULL is
-- "not worked out yet", infinity "never, unless something changes".
ALTER TABLE connections
    ADD COLUMN refreshed_at timestamptz,
    ADD COLUMN renew_at timestamptz;
--;;
-- All that the refresher asks is answered by this: what is not worked out yet, and what is due, provider by provider.
CREATE INDEX connections_to_renew ON connections (provider, renew_at)
    WHERE status = 'connected' AND refresh_token IS NOT NULL;
