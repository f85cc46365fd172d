-- What a key of the Billing API allows. Keys from before keep everything.
-- A JSON list of read, check, log, manage.
alter table billing_keys add column scopes text not null default '["manage"]';
-- The one tenant it sees; empty for all.
alter table billing_keys add column tenant_id text not null default '';
alter table billing_keys add column requests_per_minute bigint not null default 60000;
alter table billing_keys add column revoked text not null default '';

-- Answers are sealed: that to a new user holds a key and a password. Status 0
-- marks a write at work: its claim is good until locked_until (unix ms), then
-- the next try takes it over. The reservation is named before it is made, so
-- that whoever takes over finds it instead of making another.
alter table idempotency_keys add column locked_until bigint not null default 0;
alter table idempotency_keys add column reservation_id text not null default '';
-- Forgotten after this time (unix ms).
alter table idempotency_keys add column kept_until bigint not null default 0;
-- Answers from before stood under the caller's name and open: nobody finds them again.
delete from idempotency_keys;
create index idempotency_keys_kept on idempotency_keys (kept_until);
