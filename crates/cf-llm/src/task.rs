//! What is asked of models beside chats: embeddings, pictures, sound, moderations,
//! the order of documents, and how long a prompt is.
//!
//! ```text
//!  TaskRequest::json()/form() ── bound(), estimate() ──> what it may cost
//!      └ plan(place) ──> TaskPlan: one call or several, and how answers are read
//!           ├ whole answers:  TaskPlan::reply()  ──> Told {body, what was used}
//!           └ pieces:         TaskPlan::stream() ──> ChatStream
//! ```
//!
//! Where client and provider speak the same, bytes pass but for the model's name. A
//! provider that has nothing of the kind is a 400 that says so.

mod count;
mod embeddings;
mod fields;
mod form;
mod images;
mod moderation;
mod rerank;
mod sound;
mod speech;
mod stream;
mod transcription;
mod usage;

use bytes::Bytes;
use cf_base::{Error, Extra, Kind, Result, ServiceTier, Usage, Work};
use http::HeaderMap;
use http::header::{self, HeaderValue};
use serde::Deserialize;

use crate::conversation::Dropping;
use crate::dialect::Dialect;
use crate::outgoing::Outgoing;
use crate::place::Place;
use crate::{ChatStream, Provider, Wishes};

pub use form::{Form, Part};
pub(crate) use stream::TaskStream;

use count::CountTokens;
use embeddings::Embeddings;
use fields::Body;
use images::Images;
use moderation::Moderation;
use rerank::Rerank;
use speech::Speech;
use stream::Kind as StreamKind;
use transcription::Transcription;
use usage::Output;

/// An endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Task {
    /// Vectors of texts.
    Embeddings,
    /// Pictures of words.
    Images,
    /// Pictures, changed.
    ImageEdits,
    /// What was said.
    Transcription,
    /// What was said, in English.
    Translation,
    /// Words, spoken.
    Speech,
    /// Whether something is harmful.
    Moderation,
    /// Documents by how well they answer.
    Rerank,
    /// How long a prompt is.
    CountTokens,
}

/// A client's request.
#[derive(Debug)]
pub struct TaskRequest {
    /// What is asked for.
    pub task: Task,
    /// The public name of the model.
    pub model: String,
    source: Source,
    wanted: Wanted,
    drop_params: bool,
}

#[derive(Debug)]
enum Source {
    Json(Bytes),
    Form(Form),
}

#[derive(Debug)]
enum Wanted {
    Embeddings(Embeddings),
    Images(Images),
    Transcription(Transcription),
    Speech(Speech),
    Moderation(Moderation),
    Rerank(Rerank),
    CountTokens(CountTokens),
}

/// How answers are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reading {
    /// JSON as the client is to have it.
    Json,
    Embeddings(embeddings::Format),
    Images(images::Format),
    Transcript,
    BedrockRanks,
    Tokens,
    /// Bytes as they come.
    Bytes,
    /// Events as they come.
    Events,
    /// Events that the sound is taken out of.
    Sound,
    /// JSON that the sound is taken out of.
    SoundInJson,
}

/// A call to a provider, without what every call has.
struct Call {
    url: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Call {
    fn json(url: String, body: Bytes) -> Self {
        Self {
            url,
            headers: headers(HeaderValue::from_static("application/json")),
            body,
        }
    }

    fn form(url: String, form: &Form, set: &[(&str, Option<&str>)]) -> Result<Self> {
        let kind = form
            .content_type()
            .ok_or_else(|| Error::invalid("The form's boundary cannot be used."))?;
        Ok(Self {
            url,
            headers: headers(kind),
            body: form.encode(set),
        })
    }
}

fn headers(content_type: HeaderValue) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::USER_AGENT, HeaderValue::from_static("cloudfreedom"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    headers
}

/// A request as one provider is sent it.
pub struct TaskPlan {
    /// The calls, one at least.
    pub calls: Vec<Outgoing>,
    reading: Reading,
}

/// A provider's answer.
#[derive(Clone, Copy)]
pub struct Answer<'a> {
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its body.
    pub body: &'a Bytes,
}

type Answers<'a> = [Answer<'a>];

/// What answers come to.
#[derive(Debug)]
pub struct Told {
    /// For the client.
    pub body: Bytes,
    /// What the body is; JSON if nobody says.
    pub content_type: Option<String>,
    /// The tokens that the provider counted.
    pub tokens: Option<Usage>,
    /// The pieces that were made.
    pub pieces: Extra,
    /// Whether those are what the provider bills.
    pub pieces_counted: bool,
    /// Why there is nothing: the provider kept it back.
    pub refused: Option<String>,
}

impl Told {
    fn json(body: Bytes) -> Self {
        Self {
            body,
            content_type: None,
            tokens: None,
            pieces: Extra::default(),
            pieces_counted: true,
            refused: None,
        }
    }

    fn passed(answer: &Answer<'_>) -> Self {
        let kind = answer.headers.get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok());
        Self {
            content_type: Some(kind.unwrap_or("text/plain; charset=utf-8").to_owned()),
            ..Self::json(answer.body.clone())
        }
    }
}

impl TaskRequest {
    /// Looks at a body in JSON.
    pub fn json(task: Task, body: Bytes) -> Result<Self> {
        let fields = Body::parse(&body)?;
        let wanted = match task {
            Task::Embeddings => Wanted::Embeddings(Embeddings::read(&fields)?),
            Task::Images => Wanted::Images(Images::read(&fields)?),
            Task::Speech => Wanted::Speech(Speech::read(&fields)?),
            Task::Moderation => Wanted::Moderation(Moderation::read(&fields)?),
            Task::Rerank => Wanted::Rerank(Rerank::read(&fields)?),
            Task::CountTokens => Wanted::CountTokens(CountTokens::read(&fields)?),
            Task::ImageEdits | Task::Transcription | Task::Translation => {
                return Err(Error::invalid("The body must be multipart/form-data."));
            }
        };
        let (model, drop_params) = (fields.model()?, fields.drop_params()?);
        check_tier(fields.text("service_tier")?.as_deref())?;
        drop(fields);
        Ok(Self {
            task,
            model,
            source: Source::Json(body),
            wanted,
            drop_params,
        })
    }

    /// Looks at a form.
    pub fn form(task: Task, form: Form) -> Result<Self> {
        let wanted = match task {
            Task::ImageEdits => Wanted::Images(Images::read_form(&form)?),
            Task::Transcription | Task::Translation => {
                Wanted::Transcription(Transcription::read(&form)?)
            }
            _ => return Err(Error::invalid("The body must be application/json.")),
        };
        check_tier(form.text("service_tier")?)?;
        Ok(Self {
            task,
            model: fields::check_model(form.text("model")?)?,
            drop_params: form.flag("drop_params")?,
            source: Source::Form(form),
            wanted,
        })
    }

    /// The body, where it is JSON.
    pub fn body(&self) -> Option<&Bytes> {
        match &self.source {
            Source::Json(body) => Some(body),
            Source::Form(_) => None,
        }
    }

    /// What was asked, to be read by people: the body, or of a form its fields with
    /// the sizes of its files.
    pub fn shown(&self) -> Bytes {
        match &self.source {
            Source::Json(body) => body.clone(),
            Source::Form(form) => form.shown(),
        }
    }

    /// Whether the answer comes in pieces.
    pub fn stream(&self) -> bool {
        match &self.wanted {
            Wanted::Speech(_) => true,
            Wanted::Images(images) => images.stream,
            Wanted::Transcription(transcription) => transcription.stream,
            _ => false,
        }
    }

    /// Quality and size by which a picture may have a price of its own.
    pub fn picture(&self) -> Option<(&str, String)> {
        match &self.wanted {
            Wanted::Images(images) => Some(images.variant()),
            _ => None,
        }
    }

    /// Whether it costs nothing there, although no price says so.
    pub fn is_free(&self, provider: Provider) -> bool {
        match self.task {
            Task::CountTokens => true,
            // OpenAI's word; of others nobody gave it.
            Task::Moderation => provider == Provider::OpenAi,
            _ => false,
        }
    }

    /// What it may use at most at this place, whose model takes inputs and gives
    /// outputs up to these lengths.
    pub fn bound(&self, place: &Place<'_>, input: Option<u64>, output: Option<u64>) -> Work {
        let mut work = match &self.wanted {
            Wanted::Embeddings(embeddings) => return embeddings.bound(input),
            Wanted::Rerank(rerank) => return rerank.bound(),
            Wanted::CountTokens(_) => return Work::default(),
            Wanted::Images(images) => return images.bound(place),
            Wanted::Transcription(transcription) => transcription.bound(),
            Wanted::Speech(speech) => speech.bound(),
            Wanted::Moderation(moderation) => moderation.bound(),
        };
        work.input = work.input.min(input.unwrap_or(u64::MAX));
        work.output = work.output.min(output.unwrap_or(u64::MAX));
        work
    }

    /// What is charged where nobody counts.
    pub fn estimate(&self) -> Usage {
        match &self.wanted {
            Wanted::Embeddings(embeddings) => embeddings.estimate(),
            Wanted::Images(images) => images.estimate(),
            Wanted::Transcription(transcription) => transcription.estimate(),
            Wanted::Speech(speech) => speech.estimate(),
            Wanted::Moderation(moderation) => moderation.estimate(),
            Wanted::Rerank(rerank) => rerank.estimate(),
            Wanted::CountTokens(_) => Usage::default(),
        }
    }

    /// Whether the pieces that are billed are known before anything is made.
    pub fn knows_pieces(&self) -> bool {
        matches!(self.wanted, Wanted::Speech(_))
    }

    /// Whether the place has what is asked for. Only counting has an answer of ours
    /// where it has not.
    pub fn counts_at(&self, place: &Place<'_>) -> bool {
        self.task != Task::CountTokens || CountTokens::counts(place)
    }

    /// The request for a provider. Also says which fields were left out.
    pub fn plan(&self, place: &Place<'_>, wishes: &Wishes) -> Result<TaskPlan> {
        let mut dropping = Dropping::new(
            wishes.drop_params || self.drop_params,
            place.provider.label(),
        );
        let (calls, reading) = match &self.source {
            Source::Json(body) => {
                let body = Body::parse(body)?;
                match &self.wanted {
                    Wanted::Embeddings(task) => task.calls(&body, place, &mut dropping)?,
                    Wanted::Images(task) => task.calls(&body, place, &mut dropping)?,
                    Wanted::Speech(task) => task.calls(&body, place, &mut dropping)?,
                    Wanted::Moderation(task) => task.calls(&body, place)?,
                    Wanted::Rerank(task) => task.calls(&body, place, &mut dropping)?,
                    Wanted::CountTokens(task) => task.calls(&body, place, wishes)?,
                    Wanted::Transcription(_) => return Err(Error::internal("a form without one")),
                }
            }
            Source::Form(form) => match &self.wanted {
                Wanted::Images(task) => task.edit_calls(form, place)?,
                Wanted::Transcription(task) => {
                    task.calls(form, place, self.task == Task::Translation)?
                }
                _ => return Err(Error::internal("a form where there is none")),
            },
        };
        let route = place.route(self.dialect());
        let dropped = dropping.into_dropped();
        let calls = calls
            .into_iter()
            .map(|call| Outgoing::plain(call.url, call.headers, call.body, route, &dropped, place));
        Ok(TaskPlan {
            calls: calls.collect(),
            reading,
        })
    }

    /// What the client reads.
    pub fn dialect(&self) -> Dialect {
        match self.task {
            Task::CountTokens => Dialect::Anthropic,
            _ => Dialect::OpenAi,
        }
    }

    /// The built-in provider's answer, which says what it is.
    pub fn demo(&self, model: &str, id: &str) -> Result<Told> {
        match (&self.wanted, &self.source) {
            (Wanted::Embeddings(task), Source::Json(body)) => task.demo(&Body::parse(body)?, model),
            (Wanted::Moderation(task), _) => Ok(task.demo(model, id)),
            (Wanted::CountTokens(task), _) => Ok(task.estimated()),
            _ => Err(Error::invalid_field(
                "model",
                "The demo provider has chats, embeddings and moderations only.",
            )),
        }
    }

    /// Our own count of tokens, where the provider has none.
    pub fn estimated_count(&self) -> Option<Told> {
        match &self.wanted {
            Wanted::CountTokens(task) => Some(task.estimated()),
            _ => None,
        }
    }
}

impl TaskPlan {
    /// Whether answers of this type come in pieces that are passed on.
    pub fn streams(&self, task: &TaskRequest, content_type: &str) -> bool {
        let kind = content_type.to_ascii_lowercase();
        let events = kind.starts_with("text/event-stream");
        match self.reading {
            // A page or an error is no sound.
            Reading::Bytes | Reading::Sound | Reading::Events => {
                events || !(kind.starts_with("text/") || kind.starts_with("application/json"))
            }
            Reading::SoundInJson => false,
            _ => task.stream() && events,
        }
    }

    /// Listens to an answer that comes in pieces, of this type. `estimate` is what is
    /// charged where nobody counts, and whether that is a guess. Also says which type
    /// the client is told.
    pub fn stream(
        &self,
        task: &TaskRequest,
        content_type: &str,
        estimate: (Usage, bool),
    ) -> (ChatStream, String) {
        let events = (content_type.to_ascii_lowercase()).starts_with("text/event-stream");
        let kind = match self.reading {
            // Some give the sound whatever is asked for.
            Reading::Sound | Reading::Events if !events => StreamKind::Bytes,
            Reading::Bytes if !events => StreamKind::Bytes,
            Reading::Sound => StreamKind::Sound,
            _ => StreamKind::Events,
        };
        let output = match &task.wanted {
            Wanted::Images(_) => Output::Picture,
            Wanted::Speech(_) => Output::Sound,
            _ => Output::Text,
        };
        let shown = match (&task.wanted, kind) {
            (_, StreamKind::Events) => "text/event-stream; charset=utf-8".to_owned(),
            (Wanted::Speech(speech), StreamKind::Sound) => speech.content_type().to_owned(),
            (Wanted::Speech(speech), _) if content_type.is_empty() => {
                speech.content_type().to_owned()
            }
            _ => content_type.to_owned(),
        };
        let stream = TaskStream::new(kind, output, estimate);
        (ChatStream::of_task(stream), shown)
    }

    /// Reads whole answers, one of each call; `None` if they are no answers of the
    /// kind. `id` and `created` (seconds) are for those that have none.
    pub fn reply(
        &self,
        task: &TaskRequest,
        model: &str,
        id: &str,
        created: u64,
        answers: &[Answer<'_>],
    ) -> Option<Told> {
        let first = answers.first()?;
        match (&task.wanted, self.reading) {
            (Wanted::Embeddings(task), Reading::Embeddings(format)) => {
                task.reply(format, model, answers)
            }
            (Wanted::Images(task), Reading::Images(format)) => task.reply(format, created, answers),
            (Wanted::Transcription(task), _) => task.reply(first),
            (Wanted::Rerank(task), Reading::Json) => task.passed(first),
            (Wanted::Rerank(rerank), Reading::BedrockRanks) => {
                let Source::Json(body) = &task.source else {
                    return None;
                };
                rerank.ranks(&Body::parse(body).ok()?, id, first)
            }
            (Wanted::CountTokens(_), _) => CountTokens::reply(first),
            (Wanted::Speech(task), Reading::SoundInJson) => task.reply(first),
            (Wanted::Moderation(_), _) => {
                #[derive(Deserialize)]
                struct Results {
                    #[serde(rename = "results")]
                    _results: Vec<serde::de::IgnoredAny>,
                }
                let _: Results = json_body(first.body)?;
                Some(Told {
                    tokens: usage::read(first.body, Output::Text).tokens,
                    ..Told::json(first.body.clone())
                })
            }
            _ => None,
        }
    }
}

impl Told {
    /// A refusal of the provider's as the client's answer.
    pub fn refusal(&self) -> Option<Bytes> {
        let why = self.refused.as_deref()?;
        let body = serde_json::json!({"error": {
            "message": why, "type": "invalid_request_error", "param": "prompt",
            "code": "content_filter",
        }});
        Some(Bytes::from(body.to_string()))
    }
}

/// A tier that costs more has no price here.
fn check_tier(name: Option<&str>) -> Result<()> {
    let tier = name.map_or(Ok(ServiceTier::Standard), str::parse);
    match tier {
        Ok(tier) if tier.is_cheaper() => Ok(()),
        _ => Err(Error::invalid_field(
            "service_tier",
            "service_tier: no price of it is known for this endpoint; leave service_tier out.",
        )),
    }
}

fn json_body<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Option<T> {
    serde_json::from_slice(body).ok()
}

/// The provider has nothing of the kind.
fn none_of_it(place: &Place<'_>, what: &str) -> Error {
    Error::new(
        Kind::Invalid {
            field: Some("model".into()),
        },
        format!(
            "The model \"{}\" at {} has no {what}: choose another model.",
            place.model,
            place.provider.label()
        ),
    )
}
