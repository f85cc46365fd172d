-- Responses that are kept, so that they can be read again and gone on from, at
-- whichever provider the next request goes to.
create table responses (
  user_id text not null,
  -- The answer's own, which a provider may have given: only with the user is it unique.
  id text not null,
  tenant_id text not null,
  -- The response that this one goes on from; empty: it begins a conversation.
  previous_id text not null default '',
  created_at bigint not null,
  -- When it was made or last gone on from (unix ms): it is kept so long after that.
  used_at bigint not null,
  -- Of what is sealed.
  bytes bigint not null,
  -- The items that the request brought, a JSON list.
  input_sealed text not null,
  -- The answer as it was given.
  response_sealed text not null,
  primary key (user_id, id)
);
create index responses_used on responses (used_at);
create index responses_size on responses (user_id, created_at, bytes);

-- In which response an item was given, for requests that name items by their ids.
create table response_items (
  user_id text not null,
  item_id text not null,
  response_id text not null,
  primary key (user_id, item_id)
) {by_key};
create index response_items_response on response_items (user_id, response_id);
