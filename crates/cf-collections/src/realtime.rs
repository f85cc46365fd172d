//! Who listens to which records, and who is told what. The stream itself
//! (server-sent events) is the server's.

mod topic;

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use cf_base::{Secret, UserStatus};
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, broadcast, mpsc};

use crate::engine::{Engine, Reader, RecordEvent};
use crate::error::{RecordError, Result};
use crate::filter::{self, Cond, Context, Root};
use crate::principal::{AuthRecord, Principal};
use crate::record::Record;
use crate::records::refuse_request_names;
use crate::rules::Access;
use crate::schema::Action;
use topic::Topic;

/// How much the hub keeps.
#[derive(Clone, Copy, Debug)]
pub struct ClientLimits {
    /// Connections at the same time.
    pub clients: usize,
    /// Subscriptions of one connection.
    pub subscriptions: usize,
    /// Messages waiting for one connection; past that it is closed, and the
    /// client connects again.
    pub queue: usize,
    /// Connections of one address of which nobody has said whose they are. A
    /// browser's is a guest's only for the moment until it subscribes, so that
    /// even a large office that connects again after a restart stays below.
    pub guests_per_address: usize,
    /// How long a guest's connection may wait for its first subscription, which
    /// the SDK sends at once.
    pub guest_idle: Duration,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            clients: 10_000,
            subscriptions: 1_000,
            queue: 256,
            guests_per_address: 50,
            guest_idle: Duration::from_secs(30),
        }
    }
}

/// One message: its event name (the subscription as it was written) and its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Event name.
    pub event: String,
    /// JSON.
    pub data: String,
}

/// Keeps the connections and their subscriptions; cheap to clone.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    engine: Engine,
    limits: ClientLimits,
    clients: Mutex<Clients>,
    connected: Notify,
}

#[derive(Default)]
struct Clients {
    by_id: HashMap<String, State>,
    /// Whether events are listened to: only while somebody is connected, so
    /// that the ledger's changes need not be read for nobody.
    listening: bool,
    /// The listening end, made with the first connection, until `run` takes it.
    events: Option<broadcast::Receiver<RecordEvent>>,
}

struct State {
    principal: Principal,
    /// What proved who it is, to be looked at again when accounts change.
    token: Option<Secret>,
    /// The client's network.
    network: Ipv6Addr,
    topics: Vec<Arc<Topic>>,
    sender: mpsc::Sender<Frame>,
}

/// A connection's end of the hub. Dropped, it is forgotten.
pub struct Client {
    id: String,
    receiver: mpsc::Receiver<Frame>,
    hub: Hub,
}

impl Client {
    /// 40 letters and digits; whoever knows it may set the subscriptions.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The next message, `PB_CONNECT` first; `None` once the hub has let go of
    /// the connection because it did not keep up, or because nobody has said
    /// whose it is or what it wants to hear.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            let idle = self.hub.0.limits.guest_idle;
            match tokio::time::timeout(idle, self.receiver.recv()).await {
                Ok(frame) => return frame,
                Err(_) if self.hub.wants_nothing(&self.id) => return None,
                Err(_) => {}
            }
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.hub.0.clients.lock().by_id.remove(&self.id);
    }
}

impl Hub {
    /// A hub for the engine's events; [`Hub::run`] has to run for it.
    pub fn new(engine: Engine, limits: ClientLimits) -> Self {
        Self(Arc::new(Inner {
            engine,
            limits,
            clients: Mutex::default(),
            connected: Notify::new(),
        }))
    }

    /// Hands on events until it is dropped. Run it once, as a background task.
    pub async fn run(&self) {
        loop {
            let events = self.0.clients.lock().events.take();
            match events {
                Some(events) => self.listen(events).await,
                None => self.0.connected.notified().await,
            }
        }
    }

    /// Hands on events for as long as somebody is connected.
    async fn listen(&self, mut events: broadcast::Receiver<RecordEvent>) {
        loop {
            match events.recv().await {
                Ok(event) => self.dispatch(&event).await,
                Err(RecvError::Lagged(missed)) => {
                    tracing::warn!(missed, "realtime fell behind; clients miss these changes");
                }
                Err(RecvError::Closed) => return,
            }
            let mut clients = self.0.clients.lock();
            if clients.by_id.is_empty() {
                clients.listening = false;
                return;
            }
        }
    }

    /// A new connection from this address, of a guest until it subscribes as
    /// somebody.
    pub fn connect(&self, address: IpAddr) -> Result<Client> {
        let network = network(address);
        let id = self.0.engine.0.random.token::<40>();
        let (sender, receiver) = mpsc::channel(self.0.limits.queue.max(1));
        let hello = Frame {
            event: "PB_CONNECT".to_owned(),
            data: json!({"clientId": id}).to_string(),
        };
        // The queue is empty and holds at least one.
        let _ = sender.try_send(hello);
        let mut clients = self.0.clients.lock();
        if clients.by_id.len() >= self.0.limits.clients {
            return Err(RecordError::new(
                503,
                "Too many realtime connections. Try again later.",
            ));
        }
        let guests = clients
            .by_id
            .values()
            .filter(|c| c.network == network && matches!(c.principal, Principal::Guest));
        if guests.count() >= self.0.limits.guests_per_address {
            return Err(RecordError::new(
                429,
                "Too many realtime connections from this address that nobody is signed in on. \
                 Close some, or sign in.",
            ));
        }
        if !clients.listening {
            clients.listening = true;
            clients.events = Some(self.0.engine.events());
            self.0.connected.notify_one();
        }
        clients.by_id.insert(
            id.clone(),
            State {
                principal: Principal::Guest,
                token: None,
                network,
                topics: Vec::new(),
                sender,
            },
        );
        drop(clients);
        Ok(Client {
            id,
            receiver,
            hub: self.clone(),
        })
    }

    /// Replaces the subscriptions of a connection and says whose it is; `token`
    /// is what proved it.
    pub fn subscribe(
        &self,
        id: &str,
        principal: Principal,
        token: Option<Secret>,
        topics: &[String],
    ) -> Result<()> {
        let topics: Vec<Arc<Topic>> = if topics.len() > self.0.limits.subscriptions {
            return Err(invalid_subscriptions());
        } else {
            topics
                .iter()
                .map(|text| {
                    Topic::parse(text, self.0.engine.collections())
                        .map(Arc::new)
                        .ok_or_else(invalid_subscriptions)
                })
                .collect::<Result<_>>()?
        };
        let mut clients = self.0.clients.lock();
        let client = clients
            .by_id
            .get_mut(id)
            .ok_or_else(|| RecordError::new(404, "Missing or invalid client id."))?;
        let same = client.principal.id() == principal.id()
            && client.principal.collection() == principal.collection();
        if !same && !matches!(client.principal, Principal::Guest) {
            return Err(RecordError::new(
                403,
                "The current and the previous request authorization don't match.",
            ));
        }
        client.principal = principal;
        client.token = token;
        client.topics = topics;
        Ok(())
    }

    /// Sends one connection a message that is no record (`@oauth2`). False if
    /// the connection is not there or not subscribed to it.
    pub fn send(&self, id: &str, frame: Frame) -> bool {
        let clients = self.0.clients.lock();
        clients.by_id.get(id).is_some_and(|client| {
            client.topics.iter().any(|t| t.text == frame.event)
                && client.sender.try_send(frame).is_ok()
        })
    }

    /// Makes guests of a record's connections: its sessions have ended.
    pub fn sign_out(&self, collection: &str, id: &str) {
        self.replace(|principal| {
            (principal.collection() == collection && principal.id() == id)
                .then_some(Principal::Guest)
        });
    }

    /// What proved who the signed-in connections are, each once.
    pub fn tokens(&self) -> Vec<Secret> {
        let clients = self.0.clients.lock();
        let mut seen = HashSet::new();
        clients
            .by_id
            .values()
            .filter_map(|client| client.token.as_ref())
            .filter(|token| seen.insert(token.expose()))
            .cloned()
            .collect()
    }

    /// Says who tokens stand for now: the connections that one has proved are
    /// this principal's, or are closed if it is nobody's any longer.
    pub fn recheck(&self, now: &[(Secret, Option<Principal>)]) {
        let now: HashMap<&str, &Option<Principal>> =
            now.iter().map(|(t, p)| (t.expose(), p)).collect();
        self.0.clients.lock().by_id.retain(|_, client| {
            let token = client.token.as_ref().map(Secret::expose);
            match token.and_then(|token| now.get(token)) {
                Some(None) => return false,
                Some(Some(principal)) => client.principal = principal.clone(),
                None => {}
            }
            true
        });
    }

    fn wants_nothing(&self, id: &str) -> bool {
        let clients = self.0.clients.lock();
        clients
            .by_id
            .get(id)
            .is_none_or(|c| matches!(c.principal, Principal::Guest) && c.topics.is_empty())
    }

    /// Connections now.
    pub fn len(&self) -> usize {
        self.0.clients.lock().by_id.len()
    }

    /// Whether nobody is connected.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn replace(&self, new: impl Fn(&Principal) -> Option<Principal>) {
        for client in self.0.clients.lock().by_id.values_mut() {
            if let Some(principal) = new(&client.principal) {
                if matches!(principal, Principal::Guest) {
                    client.token = None;
                }
                client.principal = principal;
            }
        }
    }

    async fn dispatch(&self, event: &RecordEvent) {
        self.follow(event);
        let waiting: Vec<(String, Principal, Arc<Topic>)> = {
            let clients = self.0.clients.lock();
            clients
                .by_id
                .iter()
                .flat_map(|(id, client)| {
                    client
                        .topics
                        .iter()
                        .filter(|topic| topic.matches(event.collection, &event.record_id))
                        .map(|topic| (id.clone(), client.principal.clone(), Arc::clone(topic)))
                })
                .collect()
        };
        // The same question for the same person is asked once.
        let mut answers: HashMap<(String, String), Option<String>> = HashMap::new();
        for (id, principal, topic) in waiting {
            let key = (
                format!("{}/{}", principal.collection(), principal.id()),
                topic.text.clone(),
            );
            let answer = match answers.get(&key) {
                Some(answer) => answer.clone(),
                None => {
                    let answer = match self.message(event, &principal, &topic).await {
                        Ok(answer) => answer,
                        // A filter that means nothing stays silent, as in PocketBase.
                        Err(error) if error.status < 500 => None,
                        Err(error) => {
                            tracing::warn!(%error, "a realtime message could not be made");
                            None
                        }
                    };
                    answers.insert(key, answer.clone());
                    answer
                }
            };
            if let Some(data) = answer {
                self.deliver(
                    &id,
                    Frame {
                        event: topic.text.clone(),
                        data,
                    },
                );
            }
        }
    }

    /// Keeps what the hub knows of people up to date: who is shut out hears
    /// nothing more, whose role changed hears what the new one may.
    fn follow(&self, event: &RecordEvent) {
        let record = &event.record;
        match event.collection {
            "users" | "_superusers" => self.replace(|principal| {
                if principal.collection() != event.collection || principal.id() != event.record_id {
                    return None;
                }
                match principal {
                    _ if event.action == Action::Delete => Some(Principal::Guest),
                    Principal::User(_) => Some(user(record)),
                    Principal::Guest | Principal::Superuser { .. } => None,
                }
            }),
            "tenants" if record.text("status") != "active" || event.action == Action::Delete => {
                self.replace(|principal| match principal {
                    Principal::User(user) if user.tenant_id == event.record_id => {
                        Some(Principal::Guest)
                    }
                    _ => None,
                });
            }
            _ => {}
        }
    }

    /// What the principal is told of the event over this topic, if anything.
    /// Rules and filters look at the record as it was when it was written, so a
    /// deleted one is judged by its last state.
    async fn message(
        &self,
        event: &RecordEvent,
        principal: &Principal,
        topic: &Topic,
    ) -> Result<Option<String>> {
        let engine = &self.0.engine;
        let record: &Record = &event.record;
        let collection = record.collection();
        let mut statement = engine.statement();
        let context: Context<'_> = engine.context(principal);
        let root = Root::Values(record.values());
        let access = if topic.id.is_some() {
            Access::View
        } else {
            Access::List
        };
        let rule = engine
            .0
            .rules
            .condition(access, collection, &root, &context, &mut statement)?;
        let Some(rule) = rule.filter(|rule| *rule != Cond::False) else {
            return Ok(None);
        };
        refuse_request_names(principal, &[&topic.filter])?;
        let wanted = match filter::parse(&topic.filter)? {
            None => Cond::True,
            Some(expr) => filter::condition(&expr, collection, &root, &context, &mut statement)?,
        };
        let mut reader = Reader::Engine(engine);
        if !engine
            .holds(&mut reader, rule.and(wanted), statement)
            .await?
        {
            return Ok(None);
        }
        let shown = engine
            .shape(principal, record.clone(), &topic.shape)
            .await?;
        let message = json!({"action": event.action.as_str(), "record": shown});
        Ok(Some(message.to_string()))
    }

    fn deliver(&self, id: &str, frame: Frame) {
        let mut clients = self.0.clients.lock();
        let Some(client) = clients.by_id.get(id) else {
            return;
        };
        // The connection's own queue is its limit: better it connects again than
        // that it hears of half of the changes.
        if client.sender.try_send(frame).is_err() {
            clients.by_id.remove(id);
        }
    }
}

/// What counts as one address: of IPv6 the first 64 bits, as whoever has one
/// address has the whole network.
fn network(address: IpAddr) -> Ipv6Addr {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)),
    }
}

/// The principal that a changed users record stands for.
fn user(record: &Record) -> Principal {
    let (Ok(role), Ok(UserStatus::Active)) = (
        record.text("role").parse(),
        record.text("status").parse::<UserStatus>(),
    ) else {
        return Principal::Guest;
    };
    Principal::User(Arc::new(AuthRecord {
        id: record.id().to_owned(),
        email: record.text("email").to_owned(),
        role,
        status: UserStatus::Active,
        tenant_id: record.text("tenant_id").to_owned(),
        product_id: record.text("product_id").to_owned(),
        collection: record.collection().name.to_owned(),
    }))
}

fn invalid_subscriptions() -> RecordError {
    let mut error = RecordError::field(
        "subscriptions",
        "validation_invalid_value",
        "Too many or invalid subscriptions.",
    );
    error.message = "An error occurred while validating the submitted data.".into();
    error
}
