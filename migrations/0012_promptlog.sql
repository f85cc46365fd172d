-- What was asked and answered, for tenants that want it kept.

-- Days that it is kept; 0: not at all.
alter table tenants add column prompt_log_days bigint not null default 0;

create table prompt_logs (
  request_id text not null primary key,
  tenant_id text not null,
  user_id text not null,
  -- Unix ms.
  created_at bigint not null,
  endpoint text not null,
  -- Whether more was asked, or answered, than is kept.
  question_cut bigint not null,
  answer_cut bigint not null,
  question_sealed text not null,
  -- As far as it came; of a stream its events.
  answer_sealed text not null
);
create index prompt_logs_tenant on prompt_logs (tenant_id, created_at);
create index prompt_logs_user on prompt_logs (user_id);
