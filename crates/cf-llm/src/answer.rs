//! An answer in no dialect: the pieces that a provider's reply or stream is
//! read into, and a client's is written from. A whole reply is read into the
//! same pieces as a stream and then put together, so that both say the same.

use serde_json::value::RawValue;

/// Most answers to one request that are told apart.
pub(crate) const MAX_CHOICES: usize = 128;
/// Most calls of tools in one answer.
const MAX_CALLS: usize = 1024;

/// A piece of an answer; `choice` counts the answers to one request.
#[derive(Debug)]
pub(crate) enum Piece {
    /// The provider's name for the answer, and the model that gives it; empty if
    /// it does not say.
    Head { id: String, model: String },
    /// More text.
    Text { choice: usize, text: String },
    /// More thinking.
    Thought { choice: usize, text: String },
    /// The end of a thought, with the seal by which it can go back.
    ThoughtSeal { choice: usize, seal: String },
    /// Thinking that nobody but the provider can read.
    Redacted { choice: usize, data: String },
    /// Google's seal on what was said.
    TextSeal { choice: usize, seal: String },
    /// The model refuses, in these words.
    Refusal { choice: usize, text: String },
    /// A call begins; `call` counts the calls of the choice.
    Call {
        choice: usize,
        call: usize,
        id: String,
        name: String,
        seal: Option<String>,
    },
    /// More of a call's arguments.
    Arguments {
        choice: usize,
        call: usize,
        text: String,
    },
    /// Log probabilities in OpenAI's shape: the entries of `content`.
    Logprobs {
        choice: usize,
        entries: Vec<Box<RawValue>>,
    },
    /// A choice is complete. `native` is the provider's word for why.
    Finish {
        choice: usize,
        finish: Finish,
        native: String,
    },
}

impl Piece {
    /// How much text it holds, for answers that nobody counts.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Text { text, .. }
            | Self::Thought { text, .. }
            | Self::Refusal { text, .. }
            | Self::Arguments { text, .. } => text.len(),
            Self::Call { name, .. } => name.len(),
            _ => 0,
        }
    }
}

/// Why an answer ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Finish {
    Stop,
    Length,
    ToolCalls,
    Filtered,
}

impl Finish {
    /// OpenAI's word.
    pub fn as_openai(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::Filtered => "content_filter",
        }
    }
}

/// A whole answer.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub id: String,
    pub model: String,
    pub choices: Vec<Choice>,
}

#[derive(Debug, Default)]
pub(crate) struct Choice {
    /// In the order they came.
    pub parts: Vec<Part>,
    pub logprobs: Vec<Box<RawValue>>,
    /// Why it ends, and the provider's word for it.
    pub finish: Option<(Finish, String)>,
}

#[derive(Debug)]
pub(crate) enum Part {
    Text(String),
    Thought {
        text: String,
        seal: String,
    },
    Redacted(String),
    TextSeal(String),
    Refusal(String),
    Call {
        /// Counts the calls of the choice.
        call: usize,
        id: String,
        name: String,
        arguments: String,
        seal: Option<String>,
    },
}

impl Answer {
    /// Puts an answer together.
    pub fn of(pieces: Vec<Piece>) -> Self {
        let mut answer = Self::default();
        for piece in pieces {
            answer.add(piece);
        }
        answer
    }

    fn choice(&mut self, at: usize) -> &mut Choice {
        let at = at.min(MAX_CHOICES - 1);
        while self.choices.len() <= at {
            self.choices.push(Choice::default());
        }
        &mut self.choices[at]
    }

    fn add(&mut self, piece: Piece) {
        match piece {
            Piece::Head { id, model } => {
                if !id.is_empty() {
                    self.id = id;
                }
                if !model.is_empty() {
                    self.model = model;
                }
            }
            Piece::Text { choice, text } => {
                let parts = &mut self.choice(choice).parts;
                match parts.last_mut() {
                    Some(Part::Text(said)) => said.push_str(&text),
                    _ => parts.push(Part::Text(text)),
                }
            }
            Piece::Refusal { choice, text } => {
                let parts = &mut self.choice(choice).parts;
                match parts.last_mut() {
                    Some(Part::Refusal(said)) => said.push_str(&text),
                    _ => parts.push(Part::Refusal(text)),
                }
            }
            Piece::Thought { choice, text } => {
                let parts = &mut self.choice(choice).parts;
                match parts.last_mut() {
                    // A thought that is sealed is complete.
                    Some(Part::Thought { text: said, seal }) if seal.is_empty() => {
                        said.push_str(&text);
                    }
                    _ => parts.push(Part::Thought {
                        text,
                        seal: String::new(),
                    }),
                }
            }
            Piece::ThoughtSeal { choice, seal: new } => {
                let parts = &mut self.choice(choice).parts;
                match parts.last_mut() {
                    Some(Part::Thought { seal, .. }) if seal.is_empty() => *seal = new,
                    // Thinking that is not shown has a seal all the same.
                    _ => parts.push(Part::Thought {
                        text: String::new(),
                        seal: new,
                    }),
                }
            }
            Piece::Redacted { choice, data } => {
                self.choice(choice).parts.push(Part::Redacted(data));
            }
            Piece::TextSeal { choice, seal } => {
                self.choice(choice).parts.push(Part::TextSeal(seal));
            }
            Piece::Call {
                choice,
                call,
                id,
                name,
                seal,
            } => self.choice(choice).parts.push(Part::Call {
                call,
                id,
                name,
                arguments: String::new(),
                seal,
            }),
            Piece::Arguments { choice, call, text } => {
                let parts = &mut self.choice(choice).parts;
                let found = parts.iter_mut().rev().find_map(|part| match part {
                    Part::Call {
                        call: number,
                        arguments,
                        ..
                    } if *number == call => Some(arguments),
                    _ => None,
                });
                if let Some(arguments) = found {
                    arguments.push_str(&text);
                }
            }
            Piece::Logprobs { choice, entries } => self.choice(choice).logprobs.extend(entries),
            Piece::Finish {
                choice,
                finish,
                native,
            } => self.choice(choice).finish = Some((finish, native)),
        }
    }
}

/// What one choice has called so far: a provider's marks of calls, in the order
/// of OpenAI's indices.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    /// The provider's number of each, and whether arguments came.
    open: Vec<(u64, bool)>,
}

impl Calls {
    /// A call begins under the provider's `mark`; `None` if there are too many.
    pub fn begin(&mut self, mark: u64) -> Option<usize> {
        if self.open.len() >= MAX_CALLS {
            return None;
        }
        self.open.push((mark, false));
        Some(self.open.len() - 1)
    }

    /// The call under this mark; the last one of it.
    pub fn find(&self, mark: u64) -> Option<usize> {
        self.open.iter().rposition(|(known, _)| *known == mark)
    }

    /// Notes that arguments came.
    pub fn argued(&mut self, call: usize) {
        if let Some((_, argued)) = self.open.get_mut(call) {
            *argued = true;
        }
    }

    /// Whether arguments came.
    pub fn has_arguments(&self, call: usize) -> bool {
        self.open.get(call).is_some_and(|(_, argued)| *argued)
    }

    pub fn count(&self) -> usize {
        self.open.len()
    }
}
