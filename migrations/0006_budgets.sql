-- Several windows on one owner, such as 5 a day and 100 a month: an account is
-- now (owner, window), and 'main' is the one that the budget fields of records
-- show. A call counts in every window of its owner.
create table ledger_accounts_by_window (
  owner_id text not null,
  window_name text not null default 'main',
  kind text not null,
  currency text not null,
  -- In force now: what was set, plus carried, plus extra; null: no limit.
  limit_nanos bigint,
  posted_nanos bigint not null default 0,
  pending_nanos bigint not null default 0,
  -- Posted without calls, ever: the sum of the window's own entries. What is
  -- posted less this is what calls of the owner have cost in all, which a
  -- window that is opened later must start from.
  adjusted_nanos bigint not null default 0,
  -- Left over by earlier periods.
  carried_nanos bigint not null default 0,
  -- Temporary increases in force.
  extra_nanos bigint not null default 0,
  -- total, days, day, week, month
  period text not null default 'total',
  period_days bigint not null default 0,
  time_zone text not null default '',
  carry_over bigint not null default 0,
  period_start text not null default '',
  reset_date text not null default '',
  -- Of 'main': how many windows the owner has. PostgreSQL may lock an account
  -- without seeing a window that was opened meanwhile; this tells.
  windows bigint not null default 1,
  primary key (owner_id, window_name)
) {by_key};

insert into ledger_accounts_by_window (owner_id, kind, currency, limit_nanos, posted_nanos,
  pending_nanos, adjusted_nanos, period, period_days, reset_date)
select a.owner_id, a.kind, a.currency, a.limit_nanos, a.posted_nanos, a.pending_nanos,
  coalesce(e.adjusted, 0), case when a.period_days > 0 then 'days' else 'total' end,
  a.period_days, a.reset_date
from ledger_accounts a left join (
  select user_id || tenant_id || key_id as owner_id,
    cast(sum(posted_nanos + tenant_posted_nanos) as bigint) as adjusted
  from ledger_entries where kind in ('reset', 'limit')
  group by user_id || tenant_id || key_id
) e on e.owner_id = a.owner_id;

drop table ledger_accounts;
alter table ledger_accounts_by_window rename to ledger_accounts;
update ledger_accounts set time_zone = coalesce(
  (select t.time_zone from tenants t where t.id = owner_id),
  (select t.time_zone from users u join tenants t on t.id = u.tenant_id where u.id = owner_id),
  (select t.time_zone from api_keys k join tenants t on t.id = k.tenant_id where k.id = owner_id),
  '');
create index ledger_accounts_reset on ledger_accounts (reset_date) where reset_date <> '';

-- The window that an entry is about; '' for calls, which count in all of them.
alter table ledger_entries add column window_name text not null default '';
update ledger_entries set window_name = 'main' where kind in ('reset', 'limit');

-- Periods that are over.
create table budget_periods (
  owner_id text not null,
  id text not null,
  window_name text not null,
  currency text not null,
  starts text not null,
  ends text not null,
  -- In force at the end; null: no limit.
  limit_nanos bigint,
  spent_nanos bigint not null,
  -- Into the period after it.
  carried_nanos bigint not null,
  primary key (owner_id, id)
) {by_key};

-- Temporary increases of a limit. They end by themselves; the row stays.
create table budget_increases (
  id text primary key,
  owner_id text not null,
  window_name text not null,
  amount_nanos bigint not null,
  until text not null,
  note text not null,
  actor text not null,
  created text not null,
  -- When it ended; '' while it is in force.
  ended text not null default ''
) {by_key};
create index budget_increases_owner on budget_increases (owner_id);
create index budget_increases_due on budget_increases (until) where ended = '';

-- The budgets that a product gives to its users.
alter table products add column budget_period text not null default 'days';
alter table products add column budget_carry_over bigint not null default 0;
alter table products add column budget_windows text not null default '[]';
