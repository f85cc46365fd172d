-- Portable SQL for SQLite and PostgreSQL: text, bigint and double precision
-- only; booleans are bigint 0/1, JSON is text, money is bigint nano-units.
-- Dates of records are text such as '2026-01-31 10:00:00.123Z', which sorts as
-- time does and compares as the record API's filters expect.

create table tenants (
  id text primary key,
  name text not null,
  slug text not null,
  domain text not null default '',
  type text not null default 'customer',
  status text not null default 'active',
  signup_enabled bigint not null default 0,
  currency text not null default 'EUR',
  time_zone text not null default 'Europe/Berlin',
  locale text not null default 'de',
  chat text not null default 'builtin',
  regions text not null default '[]',
  created text not null,
  updated text not null
);
create unique index tenants_slug on tenants (slug);
create unique index tenants_domain on tenants (domain) where domain <> '';

create table products (
  id text primary key,
  name text not null,
  description text not null default '',
  price bigint not null default 0,
  currency text not null default 'EUR',
  budget_included bigint not null default 0,
  models text not null default '[]',
  features text not null default '[]',
  rate_limit bigint not null default 0,
  tokens_per_minute bigint not null default 0,
  parallel_requests bigint not null default 0,
  budget_period_days bigint not null default 30,
  margin double precision not null default 0,
  active bigint not null default 1,
  created text not null,
  updated text not null
);

create table users (
  id text primary key,
  email text not null,
  email_visibility bigint not null default 0,
  verified bigint not null default 0,
  password_hash text not null,
  token_key text not null,
  name text not null default '',
  role text not null default 'user',
  status text not null default 'pending',
  tenant_id text not null default '',
  product_id text not null default '',
  litellm_api_key text not null default '',
  created text not null,
  updated text not null
);
-- One account per address, however it is written.
create unique index users_email on users (lower(email));
create index users_tenant on users (tenant_id);
create index users_product on users (product_id);

create table superusers (
  id text primary key,
  email text not null,
  email_visibility bigint not null default 0,
  verified bigint not null default 1,
  password_hash text not null,
  token_key text not null,
  created text not null,
  updated text not null
);
create unique index superusers_email on superusers (lower(email));

create table api_keys (
  id text primary key,
  name text not null default '',
  user_id text not null,
  tenant_id text not null default '',
  prefix text not null,
  last4 text not null,
  hash text not null,
  -- The key before the last rotation stays good until this time (unix ms).
  previous_hash text not null default '',
  previous_until bigint not null default 0,
  models text not null default '[]',
  expires text not null default '',
  status text not null default 'active',
  last_used text not null default '',
  created text not null,
  updated text not null
);
create unique index api_keys_hash on api_keys (hash);
create index api_keys_previous_hash on api_keys (previous_hash);
create index api_keys_user on api_keys (user_id);
create index api_keys_tenant on api_keys (tenant_id);

create table billing_keys (
  id text primary key,
  name text not null,
  last4 text not null,
  hash text not null,
  status text not null default 'active',
  created text not null
);
create unique index billing_keys_hash on billing_keys (hash);

create table provider_keys (
  id text primary key,
  name text not null,
  provider text not null,
  base_url text not null default '',
  region text not null default '',
  secret_sealed text not null default '',
  secret_masked text not null default '',
  settings text not null default '{}',
  tenant_id text not null default '',
  active bigint not null default 1,
  created text not null,
  updated text not null
);

create table models (
  id text primary key,
  name text not null,
  deployments text not null default '[]',
  fallbacks text not null default '[]',
  prices text not null default '{}',
  max_output_tokens bigint not null default 0,
  context_window bigint not null default 0,
  tenant_id text not null default '',
  active bigint not null default 1,
  created text not null,
  updated text not null
);
create unique index models_name on models (name, tenant_id);

create table exchange_rates (
  id text primary key,
  base text not null,
  quote text not null,
  -- Units of quote for one of base, in 10^-9.
  rate bigint not null,
  date text not null,
  source text not null default '',
  created text not null,
  updated text not null
);
create index exchange_rates_pair on exchange_rates (base, quote, date);

create table audit_logs (
  id text primary key,
  actor_collection text not null default '',
  actor_id text not null default '',
  actor_email text not null default '',
  action text not null,
  collection text not null default '',
  record_id text not null default '',
  tenant_id text not null default '',
  changes text not null default '{}',
  created text not null
);
create index audit_logs_created on audit_logs (created);

create table notifications (
  id text primary key,
  user_id text not null default '',
  tenant_id text not null default '',
  kind text not null,
  title text not null,
  body text not null default '',
  read bigint not null default 0,
  created text not null,
  updated text not null
);
create index notifications_user on notifications (user_id, created);

create table oidc_clients (
  id text primary key,
  name text not null,
  client_id text not null,
  secret_hash text not null default '',
  redirect_uris text not null default '[]',
  tenant_id text not null default '',
  active bigint not null default 1,
  created text not null,
  updated text not null
);
create unique index oidc_clients_client_id on oidc_clients (client_id);

create table settings (
  id text primary key,
  key text not null,
  value text not null default 'null',
  created text not null,
  updated text not null
);
create unique index settings_key on settings (key);

-- Answers given to money writes, by Idempotency-Key.
create table idempotency_keys (
  scope text not null,
  key text not null,
  request_hash text not null,
  status bigint not null,
  body text not null,
  created_at bigint not null,
  primary key (scope, key)
);

-- Counts changes to records that processes keep in memory (users, tenants,
-- keys, products, models): a process that sees a new number forgets its copies.
create table data_version (
  id bigint primary key,
  version bigint not null
);
insert into data_version (id, version) values (1, 0);
