-- Answers that are given again to the same request of the same tenant.

-- For how long; 0: not at all.
alter table tenants add column cache_seconds bigint not null default 0;
-- What such an answer costs, in percent of what the call would.
alter table tenants add column cache_price_percent bigint not null default 0;

create table kept_answers (
  -- Keyed hash of tenant, endpoint, model, its deployments and the request.
  tag text not null primary key,
  tenant_id text not null,
  -- Who asked first: with this user it goes.
  user_id text not null,
  made_at bigint not null,
  expires_at bigint not null,
  -- Of what is sealed.
  bytes bigint not null,
  content_type text not null,
  -- The provider's name of the model that answered, and its key.
  model_used text not null,
  provider_key_id text not null,
  -- What was used, as JSON, and whether that is an estimate.
  used text not null,
  estimated bigint not null,
  -- The answer as it was given; of a stream all of its events.
  answer_sealed text not null
);
create index kept_answers_expires on kept_answers (expires_at);
create index kept_answers_tenant on kept_answers (tenant_id, made_at, bytes);
create index kept_answers_user on kept_answers (user_id);
