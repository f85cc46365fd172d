-- Mails and webhook deliveries: written in the transaction that causes them,
-- sent after it, each under an id that stays the same however often it is tried.
create table messages (
  id text primary key,
  -- mail, webhook
  kind text not null,
  -- What it tells, such as budget_notice.
  event text not null,
  -- An address, or the webhook's name.
  recipient text not null,
  user_id text not null default '',
  tenant_id text not null default '',
  webhook_id text not null default '',
  subject text not null default '',
  -- Sealed, since mails may carry tokens; empty once it is of no more use.
  content_sealed text not null default '',
  -- waiting, sent, dead
  state text not null default 'waiting',
  tries bigint not null default 0,
  last_error text not null default '',
  next_try text not null default '',
  -- After this it is not sent any more; empty: for ever.
  expires text not null default '',
  -- Who is sending it now, and until when nobody else may (unix ms).
  lease text not null default '',
  leased_until bigint not null default 0,
  created text not null,
  updated text not null
);
create index messages_due on messages (next_try) where state = 'waiting';
create index messages_created on messages (created);
create index messages_state on messages (state, updated);
create index messages_webhook on messages (webhook_id, created) where webhook_id <> '';

create table webhooks (
  id text primary key,
  name text not null,
  url text not null,
  secret_sealed text not null default '',
  secret_masked text not null default '',
  -- Events it is told of; an empty list: all.
  events text not null default '[]',
  -- Empty: of all tenants.
  tenant_id text not null default '',
  active bigint not null default 1,
  created text not null,
  updated text not null
);

-- Notices that were given: once for each budget, period and threshold.
create table budget_notices (
  owner_id text not null,
  window_name text not null,
  -- The end of the period, or 'open' where it has none.
  period text not null,
  percent bigint not null,
  created text not null,
  primary key (owner_id, window_name, period, percent)
) {by_key};

-- What a notification is about, for clients that write it in their own words.
alter table notifications add column data text not null default '{}';
create index notifications_created on notifications (created);
-- Thresholds in percent as a JSON list; null: as the settings say.
alter table tenants add column budget_notices text not null default 'null';
-- Language of mails; empty: the tenant's.
alter table users add column locale text not null default '';
