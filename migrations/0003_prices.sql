-- Editions of the price book, each with the time from which it holds: the last
-- one that has begun is in force. Bills do not depend on them: what a call was
-- billed by stands in price_versions.
create table price_lists (
  id text primary key,
  hash text not null,
  effective text not null,
  -- built-in or import
  source text not null,
  models bigint not null,
  actor text not null default '',
  -- What of the catalogue matters to money, as JSON.
  catalogue text not null,
  created text not null
);
create index price_lists_effective on price_lists (effective, created);

-- What the customer is charged where that is not the provider's price: a margin
-- or prices of their own, as JSON. Part of the content that makes the id.
alter table price_versions add column charge text not null default '';

-- Customers' own price lists: [{"model": "…", "input": 1, "output": 2}].
alter table products add column prices text not null default '[]';
alter table tenants add column prices text not null default '[]';

-- What the provider takes, in 10^-9 US dollars.
alter table usage_logs add column provider_cost bigint not null default 0;
-- Counters and circumstances that most calls do not have, as JSON.
alter table usage_logs add column extra text not null default '';
