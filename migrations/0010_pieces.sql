-- What is billed by the piece and not by the token: characters that are spoken,
-- seconds of sound. Rows from before have none.
alter table usage_hours add column characters bigint not null default 0;
alter table usage_hours add column audio_seconds bigint not null default 0;
