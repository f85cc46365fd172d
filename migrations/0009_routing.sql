-- How calls find their deployment, and how many there may be. 0 is none, or as
-- the installation has it.

-- All users of a tenant together.
alter table tenants add column rate_limit bigint not null default 0;
alter table tenants add column tokens_per_minute bigint not null default 0;
alter table tenants add column parallel_requests bigint not null default 0;

-- All calls with a key.
alter table api_keys add column rate_limit bigint not null default 0;
alter table api_keys add column tokens_per_minute bigint not null default 0;
alter table api_keys add column parallel_requests bigint not null default 0;

-- All calls of a model, whoever makes them.
alter table models add column rate_limit bigint not null default 0;
alter table models add column tokens_per_minute bigint not null default 0;
alter table models add column parallel_requests bigint not null default 0;
-- weights, least_busy, lowest_latency
alter table models add column balance text not null default 'weights';
-- Times that all deployments are gone through once more.
alter table models add column retries bigint not null default 0;
-- A JSON list of unavailable, context_length, content_filter; empty for all of them.
alter table models add column fallback_on text not null default '[]';
alter table models add column first_byte_seconds bigint not null default 0;
alter table models add column gap_seconds bigint not null default 0;
alter table models add column total_seconds bigint not null default 0;

-- Why a key is set aside, in words, and since when; empty while it works.
alter table provider_keys add column trouble text not null default '';
alter table provider_keys add column trouble_since text not null default '';

-- Which deployments were tried and why the next was taken: a JSON list, empty
-- where the first one answered.
alter table usage_logs add column attempts text not null default '';

-- What was used by provider key, written in the transaction of each row. Amounts
-- are the provider's, in US dollars.
create table usage_provider_key_days (
  day text not null,
  provider_key_id text not null,
  requests bigint not null,
  failed bigint not null,
  prompt_tokens bigint not null,
  completion_tokens bigint not null,
  provider_cost bigint not null,
  primary key (day, provider_key_id)
) {by_key};

insert into usage_provider_key_days (
  day, provider_key_id, requests, failed, prompt_tokens, completion_tokens, provider_cost)
select
  substr(created, 1, 10), provider_key_id, count(*),
  cast(sum(case when status = 'error' then 1 else 0 end) as bigint),
  cast(sum(prompt_tokens) as bigint), cast(sum(completion_tokens) as bigint),
  cast(sum(provider_cost) as bigint)
from usage_logs where provider_key_id <> '' group by substr(created, 1, 10), provider_key_id;
