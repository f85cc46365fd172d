-- Sums of usage_logs, written in the transaction of each row. Times are UTC, as
-- the beginning of a record date: '2026-01-31 10' and '2026-01-31'.

-- Everything that sums are asked by. Statements are made of these.
create table usage_hours (
  hour text not null,
  tenant_id text not null,
  user_id text not null,
  key_id text not null,
  model text not null,
  provider text not null,
  price_version text not null,
  currency text not null,
  tenant_currency text not null,
  requests bigint not null,
  failed bigint not null,
  prompt_tokens bigint not null,
  completion_tokens bigint not null,
  cached_tokens bigint not null,
  cache_write_tokens bigint not null,
  cache_write_1h_tokens bigint not null,
  reasoning_tokens bigint not null,
  audio_input_tokens bigint not null,
  audio_output_tokens bigint not null,
  image_input_tokens bigint not null,
  image_output_tokens bigint not null,
  cached_audio_tokens bigint not null,
  images bigint not null,
  web_searches bigint not null,
  cost bigint not null,
  tenant_cost bigint not null,
  provider_cost bigint not null,
  primary key (hour, tenant_id, user_id, key_id, model, provider, price_version, currency, tenant_currency)
) {by_key};
create index usage_hours_tenant on usage_hours (tenant_id, hour);
create index usage_hours_user on usage_hours (user_id, hour);

-- By day in any time zone, and by tenant.
create table usage_tenant_hours (
  hour text not null,
  tenant_id text not null,
  currency text not null,
  tenant_currency text not null,
  requests bigint not null,
  failed bigint not null,
  prompt_tokens bigint not null,
  completion_tokens bigint not null,
  cost bigint not null,
  tenant_cost bigint not null,
  provider_cost bigint not null,
  primary key (hour, tenant_id, currency, tenant_currency)
) {by_key};

-- By user.
create table usage_user_days (
  day text not null,
  tenant_id text not null,
  user_id text not null,
  currency text not null,
  tenant_currency text not null,
  requests bigint not null,
  failed bigint not null,
  prompt_tokens bigint not null,
  completion_tokens bigint not null,
  cost bigint not null,
  tenant_cost bigint not null,
  provider_cost bigint not null,
  primary key (day, tenant_id, user_id, currency, tenant_currency)
) {by_key};

-- By model and provider.
create table usage_model_days (
  day text not null,
  tenant_id text not null,
  model text not null,
  provider text not null,
  currency text not null,
  tenant_currency text not null,
  requests bigint not null,
  failed bigint not null,
  prompt_tokens bigint not null,
  completion_tokens bigint not null,
  cost bigint not null,
  tenant_cost bigint not null,
  provider_cost bigint not null,
  primary key (day, tenant_id, model, provider, currency, tenant_currency)
) {by_key};

create index usage_user_days_tenant on usage_user_days (tenant_id, day);
create index usage_tenant_hours_tenant on usage_tenant_hours (tenant_id, hour);
create index usage_model_days_tenant on usage_model_days (tenant_id, day);

-- The rows there are. None of before this version has the counters that are 0 here.
insert into usage_hours (
  hour, tenant_id, user_id, key_id, model, provider, price_version, currency, tenant_currency, requests,
  failed, prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens, cache_write_1h_tokens,
  reasoning_tokens, audio_input_tokens, audio_output_tokens, image_input_tokens, image_output_tokens,
  cached_audio_tokens, images, web_searches, cost, tenant_cost, provider_cost)
select
  substr(created, 1, 13), tenant_id, user_id, key_id, model, provider, price_version, currency,
  tenant_currency, count(*), cast(sum(case when status = 'error' then 1 else 0 end) as bigint),
  cast(sum(prompt_tokens) as bigint), cast(sum(completion_tokens) as bigint),
  cast(sum(cached_tokens) as bigint), cast(sum(cache_write_tokens) as bigint),
  cast(sum(cache_write_1h_tokens) as bigint), cast(sum(reasoning_tokens) as bigint),
  cast(sum(audio_input_tokens) as bigint), cast(sum(audio_output_tokens) as bigint), 0, 0, 0, 0, 0,
  cast(sum(cost) as bigint), cast(sum(tenant_cost) as bigint), cast(sum(provider_cost) as bigint)
from usage_logs group by
  substr(created, 1, 13), tenant_id, user_id, key_id, model, provider, price_version, currency,
  tenant_currency;

insert into usage_tenant_hours (
  hour, tenant_id, currency, tenant_currency, requests, failed, prompt_tokens, completion_tokens, cost,
  tenant_cost, provider_cost)
select
  hour, tenant_id, currency, tenant_currency, cast(sum(requests) as bigint), cast(sum(failed) as bigint),
  cast(sum(prompt_tokens) as bigint), cast(sum(completion_tokens) as bigint), cast(sum(cost) as bigint),
  cast(sum(tenant_cost) as bigint), cast(sum(provider_cost) as bigint)
from usage_hours group by
  hour, tenant_id, currency, tenant_currency;

insert into usage_user_days (
  day, tenant_id, user_id, currency, tenant_currency, requests, failed, prompt_tokens, completion_tokens,
  cost, tenant_cost, provider_cost)
select
  substr(hour, 1, 10), tenant_id, user_id, currency, tenant_currency, cast(sum(requests) as bigint),
  cast(sum(failed) as bigint), cast(sum(prompt_tokens) as bigint), cast(sum(completion_tokens) as bigint),
  cast(sum(cost) as bigint), cast(sum(tenant_cost) as bigint), cast(sum(provider_cost) as bigint)
from usage_hours group by
  substr(hour, 1, 10), tenant_id, user_id, currency, tenant_currency;

insert into usage_model_days (
  day, tenant_id, model, provider, currency, tenant_currency, requests, failed, prompt_tokens,
  completion_tokens, cost, tenant_cost, provider_cost)
select
  substr(hour, 1, 10), tenant_id, model, provider, currency, tenant_currency, cast(sum(requests) as bigint),
  cast(sum(failed) as bigint), cast(sum(prompt_tokens) as bigint), cast(sum(completion_tokens) as bigint),
  cast(sum(cost) as bigint), cast(sum(tenant_cost) as bigint), cast(sum(provider_cost) as bigint)
from usage_hours group by
  substr(hour, 1, 10), tenant_id, model, provider, currency, tenant_currency;

-- Days to keep rows of usage_logs; 0: as the setting usage_retention_days says.
alter table tenants add column usage_retention_days bigint not null default 0;

-- Before this hour rows of a tenant or user may be gone; their sums are kept.
create table usage_pruned (
  owner_id text primary key,
  until text not null
) {by_key};

-- Months that are over. The bounds are hours (UTC), the first one included.
create table statements (
  tenant_id text not null,
  month text not null,
  from_hour text not null,
  until_hour text not null,
  time_zone text not null,
  currency text not null,
  closed text not null,
  primary key (tenant_id, month)
) {by_key};

-- What users' products cost in a month that is over, in the product's currency
-- and, as amount, in the statement's.
create table statement_fees (
  tenant_id text not null,
  month text not null,
  user_id text not null,
  product_id text not null,
  product text not null,
  price bigint not null,
  price_currency text not null,
  amount bigint not null,
  currency text not null,
  primary key (tenant_id, month, user_id)
) {by_key};
