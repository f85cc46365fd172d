-- {by_key}: rows stand in the order of their primary key. SQLite calls that
-- `without rowid` and saves an index; PostgreSQL has no such thing.

-- One account per user, tenant and API key: what has been spent in the
-- period (posted), what running calls may still cost (pending), and the limit
-- for both together (null: none of its own).
create table ledger_accounts (
  owner_id text primary key,
  kind text not null,
  currency text not null,
  limit_nanos bigint,
  posted_nanos bigint not null default 0,
  pending_nanos bigint not null default 0,
  period_days bigint not null default 0,
  reset_date text not null default ''
) {by_key};
create index ledger_accounts_reset on ledger_accounts (reset_date) where reset_date <> '';

-- What is reserved now: the account's pending is their sum. A row goes when its
-- call is posted, voided or expired; what was reserved then stands in the entry.
create table ledger_holds (
  request_id text primary key,
  -- The process that holds it; '' for reservations of the Billing API.
  node text not null,
  user_id text not null,
  tenant_id text not null,
  key_id text not null default '',
  model text not null,
  currency text not null,
  amount_nanos bigint not null,
  tenant_currency text not null,
  tenant_amount_nanos bigint not null,
  created_at bigint not null,
  expires_at bigint not null
) {by_key};

-- Processes that hold reservations, and when each was last heard of (unix ms):
-- the holds of one that has fallen silent are released by the others.
create table ledger_nodes (
  node text primary key,
  seen_at bigint not null
);

-- Every change of every account, never altered: the sums of the entries are
-- the balances. A call has one entry, its end, with the same amounts for key,
-- user and tenant (the tenant's in its own currency).
create table ledger_entries (
  id text primary key,
  -- post, void, expire, reset, limit
  kind text not null,
  request_id text not null default '',
  user_id text not null default '',
  tenant_id text not null default '',
  key_id text not null default '',
  currency text not null,
  posted_nanos bigint not null default 0,
  -- What was reserved for the call and is free again.
  reserved_nanos bigint not null default 0,
  limit_nanos bigint not null default 0,
  tenant_currency text not null default '',
  tenant_posted_nanos bigint not null default 0,
  tenant_reserved_nanos bigint not null default 0,
  note text not null default '',
  actor text not null default '',
  created text not null
) {by_key};

-- One row per call, whatever became of it.
create table usage_logs (
  id text primary key,
  request_id text not null,
  user_id text not null,
  tenant_id text not null,
  key_id text not null default '',
  model text not null,
  model_used text not null default '',
  provider text not null default '',
  provider_key_id text not null default '',
  prompt_tokens bigint not null default 0,
  completion_tokens bigint not null default 0,
  cached_tokens bigint not null default 0,
  cache_write_tokens bigint not null default 0,
  cache_write_1h_tokens bigint not null default 0,
  reasoning_tokens bigint not null default 0,
  audio_input_tokens bigint not null default 0,
  audio_output_tokens bigint not null default 0,
  cost bigint not null default 0,
  currency text not null,
  tenant_cost bigint not null default 0,
  tenant_currency text not null,
  -- Units of currency for one US dollar in 10^-9, and the day it was set for.
  exchange_rate bigint not null,
  tenant_exchange_rate bigint not null,
  exchange_rate_date text not null default '',
  -- Empty where the cost was given by the caller (Billing API).
  price_version text not null default '',
  status text not null,
  estimated bigint not null default 0,
  source text not null default 'router',
  latency_ms bigint not null default 0,
  time_to_first_token_ms bigint not null default 0,
  -- Fingerprint of what was logged over the Billing API, to tell a repeat from a conflict.
  request_hash text not null default '',
  metadata text not null default 'null',
  created text not null
) {by_key};
create unique index usage_logs_request on usage_logs (request_id);
create index usage_logs_created on usage_logs (created);
create index usage_logs_user on usage_logs (user_id, created);
create index usage_logs_tenant on usage_logs (tenant_id, created);

-- The prices a call was billed by, addressed by their content.
create table price_versions (
  id text primary key,
  provider text not null,
  model text not null,
  source text not null,
  prices text not null,
  created text not null
);
