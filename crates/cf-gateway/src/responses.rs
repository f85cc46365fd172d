//! Responses that are kept: what a request goes on from, and what may be read
//! again. They are kept here, not at a provider, so that a conversation goes on
//! wherever the next request is sent; sealed, and for the user alone who made them.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use cf_base::{Caller, Clock, Error, Kind, Random, Result, Sealed, Sealer, Secret, Timestamp};
use cf_db::{Db, Row, Tx, Value};
use cf_llm::{History, Kept, item_id, shown_item};
use serde_json::value::RawValue;

/// Largest response that is kept, with what its request brought.
const LARGEST: usize = 8 << 20;
/// Most responses that a conversation may go back.
const LONGEST: i64 = 500;
/// Largest conversation that is gone on from: as large as a request may be.
const LARGEST_CONVERSATION: i64 = 32 << 20;
/// Most items that a request may name.
const REFERENCES: usize = 100;
/// Bytes kept for one user; what is more goes, the oldest first.
const MOST_OF_USER: i64 = 512 << 20;
/// Responses forgotten in one transaction.
const PRUNED: i64 = 200;
/// Going on from a response is noted once in so long.
const NOTED: Duration = Duration::from_secs(6 * 3600);
/// Most items on a page.
const PAGE: usize = 100;

/// The store.
#[derive(Clone)]
pub struct Responses {
    db: Db,
    sealer: Sealer,
    clock: Clock,
    random: Random,
}

/// Which part of an input is wanted.
#[derive(Clone, Debug)]
pub struct InputPage {
    /// The item after which it begins.
    pub after: Option<String>,
    /// How many items; 1 to 100.
    pub limit: usize,
    /// The oldest first.
    pub ascending: bool,
}

impl Default for InputPage {
    fn default() -> Self {
        Self {
            after: None,
            limit: 20,
            ascending: false,
        }
    }
}

/// Where an answer is to be kept, with what its request brought.
pub struct Keep {
    store: Responses,
    user: String,
    tenant: String,
    previous: String,
    /// The responses that the conversation is made of so far.
    chain: Vec<String>,
    input: String,
}

/// A response of a conversation, opened.
struct Link {
    id: String,
    input: Vec<Box<RawValue>>,
    output: Vec<Box<RawValue>>,
}

/// Ids of a conversation from a response back to its beginning.
const CHAIN: &str = "with recursive chain (id, previous_id, depth) as (\
    select id, previous_id, cast(0 as bigint) from responses \
    where user_id = $1 and tenant_id = $2 and id = $3 \
    union all \
    select r.id, r.previous_id, c.depth + 1 from responses r join chain c on r.id = c.previous_id \
    where r.user_id = $1 and r.tenant_id = $2 and c.depth < cast($4 as bigint)) ";

impl Responses {
    pub fn new(db: Db, sealer: Sealer, clock: Clock, random: Random) -> Self {
        Self {
            db,
            sealer,
            clock,
            random,
        }
    }

    /// The request with everything in it that it goes on from, and where its answer
    /// is to be kept.
    pub async fn complete(&self, caller: &Caller, body: Bytes) -> Result<(Bytes, Option<Keep>)> {
        let mut history = History::read(&body)?;
        let input = history.store.then(|| history.input());
        let mut chain = Vec::new();
        let mut earlier = Vec::new();
        if let Some(previous) = &history.previous {
            for link in self.conversation(caller, previous).await? {
                earlier.extend(link.input);
                earlier.extend(link.output);
                chain.push(link.id);
            }
        }
        let named = self.named(caller, &history.references).await?;
        let body = history.complete(&body, &earlier, &named)?;
        // What was named is kept by value: where it stood may be forgotten earlier.
        let input = match input {
            Some(_) if !history.references.is_empty() => Some(history.input()),
            other => other,
        };
        let keep = input.map(|input| Keep {
            store: self.clone(),
            user: caller.user_id.to_string(),
            tenant: caller.tenant_id.to_string(),
            previous: history.previous.take().unwrap_or_default(),
            chain,
            input,
        });
        Ok((body, keep))
    }

    /// The response as it was given.
    pub async fn find(&self, caller: &Caller, id: &str) -> Result<String> {
        let sql = "select response_sealed from responses \
                   where user_id = $1 and tenant_id = $2 and id = $3";
        let row = self.db.query_opt(sql, own(caller, id)).await?;
        let row = row.ok_or_else(|| not_found(id))?;
        self.open(&row, "response_sealed", caller, id)
    }

    /// Forgets a response.
    pub async fn delete(&self, caller: &Caller, id: &str) -> Result<()> {
        let mut tx = self.db.begin().await?;
        let sql = "delete from responses where user_id = $1 and tenant_id = $2 and id = $3";
        if tx.execute(sql, own(caller, id)).await? == 0 {
            return Err(not_found(id));
        }
        let sql = "delete from response_items where user_id = $1 and response_id = $2";
        let user = caller.user_id.to_string();
        tx.execute(sql, vec![user.into(), id.into()]).await?;
        tx.commit().await?;
        Ok(())
    }

    /// What a response was made from: the conversation before it and what its own
    /// request brought.
    pub async fn input(&self, caller: &Caller, id: &str, page: &InputPage) -> Result<String> {
        let links = match self.conversation(caller, id).await {
            Ok(links) => links,
            Err(error) if matches!(error.kind, Kind::Invalid { .. }) => {
                // What is left of it, where its beginning is gone.
                self.find(caller, id).await?;
                vec![self.link(caller, id).await?]
            }
            Err(error) => return Err(error),
        };
        let mut items = Vec::new();
        let last = links.len().saturating_sub(1);
        for (nth, link) in links.into_iter().enumerate() {
            let tail = link.id.strip_prefix("resp_").unwrap_or(&link.id);
            for (at, item) in link.input.iter().enumerate() {
                let made = format!("msg_in_{tail}{at:04}");
                let id = item_id(item).unwrap_or_else(|| made.clone());
                items.push((id, shown_item(item, &made)));
            }
            if nth < last {
                for (at, item) in link.output.iter().enumerate() {
                    let made = format!("msg_out_{tail}{at:04}");
                    let id = item_id(item).unwrap_or_else(|| made.clone());
                    items.push((id, shown_item(item, &made)));
                }
            }
        }
        if !page.ascending {
            items.reverse();
        }
        let from = match &page.after {
            None => 0,
            Some(after) => {
                let found = items.iter().position(|(id, _)| id == after);
                found.map(|at| at + 1).ok_or_else(|| {
                    Error::invalid_field("after", "after names no item of this response's input.")
                })?
            }
        };
        let shown: Vec<&(String, Box<RawValue>)> = items
            .iter()
            .skip(from)
            .take(page.limit.clamp(1, PAGE))
            .collect();
        let has_more = from + shown.len() < items.len();
        let ids = [shown.first(), shown.last()].map(|item| item.map(|(id, _)| id));
        let quoted = |id: Option<&String>| serde_json::json!(id).to_string();
        let data: Vec<&str> = shown.iter().map(|(_, item)| item.get()).collect();
        Ok(format!(
            r#"{{"object":"list","data":[{}],"first_id":{},"last_id":{},"has_more":{has_more}}}"#,
            data.join(","),
            quoted(ids[0]),
            quoted(ids[1]),
        ))
    }

    /// Forgets what was not used for so long, and what users have too much of.
    pub async fn prune(&self, kept: Duration) -> Result<u64> {
        // What is gone on from says so a little late: a conversation goes as a whole.
        let kept = i64::try_from((kept + NOTED).as_millis()).unwrap_or(i64::MAX);
        let until = self.clock.now().as_millis().saturating_sub(kept);
        let mut gone = 0;
        loop {
            let sql =
                "select user_id, id from responses where used_at < $1 order by used_at limit $2";
            let rows = self
                .db
                .query(sql, vec![until.into(), PRUNED.into()])
                .await?;
            gone += self.forget(&rows).await?;
            if rows.len() < usize::try_from(PRUNED).unwrap_or(usize::MAX) {
                break;
            }
        }
        let sql =
            "select user_id from responses group by user_id having sum(bytes) > cast($1 as bigint)";
        let users = self.db.query(sql, vec![MOST_OF_USER.into()]).await?;
        for user in users {
            let user: String = user.get("user_id")?;
            gone += self.prune_user(&user).await?;
        }
        Ok(gone)
    }

    async fn prune_user(&self, user: &str) -> Result<u64> {
        let mut gone = 0;
        loop {
            let sql = "select cast(sum(bytes) as bigint) from responses where user_id = $1";
            let row = self.db.query_opt(sql, vec![user.into()]).await?;
            let sum: Option<i64> = row.map(|row| row.at(0)).transpose()?.flatten();
            let mut over = sum.unwrap_or(0) - MOST_OF_USER;
            if over <= 0 {
                return Ok(gone);
            }
            let sql = "select user_id, id, bytes from responses where user_id = $1 \
                       order by created_at, id limit $2";
            let mut rows = self.db.query(sql, vec![user.into(), PRUNED.into()]).await?;
            let mut enough = 0;
            for row in &rows {
                if over <= 0 {
                    break;
                }
                over -= row.get::<i64>("bytes")?;
                enough += 1;
            }
            rows.truncate(enough);
            let forgotten = self.forget(&rows).await?;
            if forgotten == 0 {
                return Ok(gone);
            }
            gone += forgotten;
        }
    }

    async fn forget(&self, rows: &[Row]) -> Result<u64> {
        if rows.is_empty() {
            return Ok(0);
        }
        let mut keys: Vec<Vec<Value>> = Vec::with_capacity(rows.len());
        for row in rows {
            let (user, id): (String, String) = (row.get("user_id")?, row.get("id")?);
            keys.push(vec![user.into(), id.into()]);
        }
        let mut tx = self.db.begin().await?;
        let sql = "delete from response_items where user_id = $1 and response_id = $2";
        tx.execute_many(sql, keys.clone()).await?;
        let sql = "delete from responses where user_id = $1 and id = $2";
        let gone = tx.execute_many(sql, keys).await?;
        tx.commit().await?;
        Ok(gone.into_iter().sum())
    }

    /// A conversation from its beginning to this response.
    async fn conversation(&self, caller: &Caller, id: &str) -> Result<Vec<Link>> {
        let mut params = own(caller, id);
        params.push(LONGEST.into());
        let sql = format!(
            "{CHAIN} select c.id, c.previous_id, r.bytes from chain c join responses r \
             on r.user_id = $1 and r.id = c.id order by c.depth desc"
        );
        // First how much it is: what is too much is not read.
        let rows = self.db.query(&sql, params.clone()).await?;
        let refused = |message: String| Err(Error::invalid_field("previous_response_id", message));
        let Some(first) = rows.first() else {
            return refused(format!("Previous response with id '{id}' not found."));
        };
        if !first.get::<String>("previous_id")?.is_empty() {
            return refused(if i64::try_from(rows.len()).unwrap_or(i64::MAX) > LONGEST {
                format!("The conversation has more than {LONGEST} responses; begin a new one.")
            } else {
                format!(
                    "Previous response with id '{id}' goes on from one that is not kept any more; \
                     begin a new conversation."
                )
            });
        }
        let mut bytes = 0_i64;
        for row in &rows {
            bytes = bytes.saturating_add(row.get("bytes")?);
        }
        // Sealed it is longer by a third.
        if bytes / 4 * 3 > LARGEST_CONVERSATION {
            return Err(Error::new(
                Kind::TooLarge,
                "The conversation is larger than a request may be; begin a new one.",
            ));
        }
        let sql = format!(
            "{CHAIN} select c.id, r.input_sealed, r.response_sealed from chain c join responses r \
             on r.user_id = $1 and r.id = c.id order by c.depth desc"
        );
        let rows = self.db.query(&sql, params).await?;
        rows.iter().map(|row| self.read_link(row, caller)).collect()
    }

    /// One response, whatever it goes on from.
    async fn link(&self, caller: &Caller, id: &str) -> Result<Link> {
        let sql = "select id, input_sealed, response_sealed from responses \
                   where user_id = $1 and tenant_id = $2 and id = $3";
        let row = self.db.query_opt(sql, own(caller, id)).await?;
        self.read_link(&row.ok_or_else(|| not_found(id))?, caller)
    }

    fn read_link(&self, row: &Row, caller: &Caller) -> Result<Link> {
        let id: String = row.get("id")?;
        let input = self.open(row, "input_sealed", caller, &id)?;
        let response = self.open(row, "response_sealed", caller, &id)?;
        Ok(Link {
            input: serde_json::from_str(&input).map_err(Error::internal)?,
            output: Kept::read(response.as_bytes()).unwrap_or_default().output,
            id,
        })
    }

    /// Items that a request names.
    async fn named(
        &self,
        caller: &Caller,
        references: &[String],
    ) -> Result<HashMap<String, Box<RawValue>>> {
        let mut found = HashMap::new();
        if references.len() > REFERENCES {
            return Err(Error::invalid_field(
                "input",
                format!("The input names more than {REFERENCES} items; send them themselves."),
            ));
        }
        for wanted in references {
            if found.contains_key(wanted) {
                continue;
            }
            let sql = "select r.id, r.input_sealed, r.response_sealed from response_items i \
                       join responses r on r.user_id = i.user_id and r.id = i.response_id \
                       where i.user_id = $1 and r.tenant_id = $2 and i.item_id = $3";
            let Some(row) = self.db.query_opt(sql, own(caller, wanted)).await? else {
                continue;
            };
            // Most that are named together stand together.
            for item in self.read_link(&row, caller)?.output {
                if let Some(id) = item_id(&item) {
                    found.insert(id, item);
                }
            }
        }
        Ok(found)
    }

    fn open(&self, row: &Row, column: &str, caller: &Caller, id: &str) -> Result<String> {
        let sealed = Sealed(row.get(column)?);
        let place = place(column, &caller.user_id.to_string(), id);
        match self.sealer.open(&sealed, &place) {
            Some(secret) => Ok(secret.expose().to_owned()),
            None => Err(Error::internal("a kept response cannot be opened")),
        }
    }
}

/// Forgets the responses of a user or a tenant that is deleted.
pub async fn forget(tx: &mut Tx, collection: &str, id: &str) -> Result<()> {
    let of = match collection {
        "users" => "user_id = $1",
        "tenants" => "tenant_id = $1",
        _ => return Ok(()),
    };
    let items = format!(
        "delete from response_items where exists (select 1 from responses r where \
         r.user_id = response_items.user_id and r.id = response_items.response_id and r.{of})"
    );
    tx.execute(&items, vec![id.into()]).await?;
    let responses = format!("delete from responses where {of}");
    tx.execute(&responses, vec![id.into()]).await?;
    Ok(())
}

impl Keep {
    /// Keeps the answer. What cannot be kept is an answer all the same.
    pub async fn keep(self, response: Bytes) {
        if let Err(error) = self.write(&response).await {
            tracing::warn!(%error, cause = ?error.source, "a response could not be kept");
        }
    }

    async fn write(self, response: &Bytes) -> Result<()> {
        let store = &self.store;
        let kept = Kept::read(response)
            .ok_or_else(|| Error::internal("an answer that is no response object"))?;
        if self.input.len() + response.len() > LARGEST {
            tracing::debug!("a response is too large to be kept");
            return Ok(());
        }
        let id = &*kept.id;
        let seal = |text: &str, column: &str| {
            let place = place(column, &self.user, id);
            store
                .sealer
                .seal(&Secret::new(text), &place, &store.random)
                .0
        };
        let response = std::str::from_utf8(response).map_err(Error::internal)?;
        let input = seal(&self.input, "input_sealed");
        let response = seal(response, "response_sealed");
        let bytes = i64::try_from(input.len() + response.len()).unwrap_or(i64::MAX);
        let now = store.clock.now();
        let mut tx = store.db.begin().await?;
        let made = tx
            .execute(
                "insert into responses (user_id, id, tenant_id, previous_id, created_at, used_at, bytes, \
                 input_sealed, response_sealed) values ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
                 on conflict (user_id, id) do nothing",
                vec![
                    (&self.user).into(),
                    id.into(),
                    (&self.tenant).into(),
                    (&self.previous).into(),
                    now.into(),
                    now.into(),
                    bytes.into(),
                    input.into(),
                    response.into(),
                ],
            )
            .await?;
        if made == 0 {
            return Err(Error::internal(
                "a provider gave an id that it has given before",
            ));
        }
        let items = kept.item_ids.iter();
        let items = items.map(|item| vec![(&self.user).into(), item.into(), id.into()]);
        // A provider may count its items anew in each answer: the latest is meant.
        tx.execute_many(
            "insert into response_items (user_id, item_id, response_id) values ($1, $2, $3) \
             on conflict (user_id, item_id) do update set response_id = excluded.response_id",
            items.collect(),
        )
        .await?;
        // A conversation is kept as long as its latest response.
        let noted = i64::try_from(NOTED.as_millis()).unwrap_or(i64::MAX);
        let before = Timestamp::from_millis(now.as_millis().saturating_sub(noted));
        let chain = self
            .chain
            .iter()
            .map(|link| vec![now.into(), (&self.user).into(), link.into(), before.into()]);
        tx.execute_many(
            "update responses set used_at = $1 where user_id = $2 and id = $3 and used_at < $4",
            chain.collect(),
        )
        .await?;
        tx.commit().await?;
        Ok(())
    }
}

fn own(caller: &Caller, id: &str) -> Vec<Value> {
    vec![
        caller.user_id.to_string().into(),
        caller.tenant_id.to_string().into(),
        id.into(),
    ]
}

/// What a sealed text belongs to.
fn place(column: &str, user: &str, id: &str) -> String {
    format!("responses/{user}/{id}/{column}")
}

fn not_found(id: &str) -> Error {
    let id: String = id.chars().take(80).collect();
    Error::new(
        Kind::NotFound,
        format!("Response with id '{id}' not found."),
    )
}
