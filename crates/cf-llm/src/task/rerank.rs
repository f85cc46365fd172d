//! Documents in the order in which they answer a question: Cohere's and Jina's
//! request, which many servers take.

use std::borrow::Cow;

use cf_base::{Error, Extra, Result, Usage, Work};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::fields::Body;
use super::usage::{self, Output};
use super::{Answer, Call, Reading, Told, json_body, none_of_it};
use crate::Provider;
use crate::conversation::Dropping;
use crate::json::{Json, object};
use crate::place::Place;
use crate::tokens::{estimated_tokens, length};
use crate::wire::prompt::Text;

/// Documents of one request at most, as Bedrock has it.
const MAX_DOCUMENTS: usize = 1_000;
/// Chunks that are billed as one request, and tokens of one chunk with the question
/// in it, as Bedrock and Cohere have it.
const CHUNKS: u64 = 100;
const CHUNK: u64 = 500;

/// A question and what may answer it.
#[derive(Debug)]
pub(super) struct Rerank {
    query: u64,
    documents: Vec<u64>,
    /// Whether the documents are wanted back.
    shows: bool,
}

impl Rerank {
    pub fn read(body: &Body<'_>) -> Result<Self> {
        let query = body.needed("query")?;
        let documents: Option<Vec<&RawValue>> = body.read("documents", "a list")?;
        let documents = documents.unwrap_or_default();
        if !(1..=MAX_DOCUMENTS).contains(&documents.len()) {
            return Err(Error::invalid_field(
                "documents",
                format!("documents is a list of 1 to {MAX_DOCUMENTS}."),
            ));
        }
        let sizes = documents.iter().map(|raw| length(raw.get().len()));
        let shows = body.read("return_documents", "true or false")?;
        Ok(Self {
            query: length(query.len()),
            documents: sizes.collect(),
            shows: shows.unwrap_or(false),
        })
    }

    /// The question is read anew with every document.
    pub fn bound(&self) -> Work {
        Work {
            input: self.read_in_all(),
            pieces: Extra {
                units: self.units(|bytes| bytes),
                ..Extra::default()
            },
            ..Work::default()
        }
    }

    pub fn estimate(&self) -> Usage {
        Usage {
            input: estimated_tokens(self.read_in_all()),
            extra: Extra {
                units: self.units(estimated_tokens),
                ..Extra::default()
            },
            ..Usage::default()
        }
    }

    fn read_in_all(&self) -> u64 {
        self.documents.iter().map(|d| d + self.query + 8).sum()
    }

    /// As how many requests the provider bills it.
    fn units(&self, tokens: impl Fn(u64) -> u64) -> u64 {
        let room = CHUNK.saturating_sub(tokens(self.query)).max(CHUNK / 4);
        let chunks = self
            .documents
            .iter()
            .map(|d| tokens(*d).div_ceil(room).max(1));
        chunks.sum::<u64>().div_ceil(CHUNKS)
    }

    pub fn calls(
        &self,
        body: &Body<'_>,
        place: &Place<'_>,
        dropping: &mut Dropping,
    ) -> Result<(Vec<Call>, Reading)> {
        match place.provider {
            Provider::OpenAiCompatible => {
                let call = Call::json(place.openai_url("rerank")?, body.with_model(place.model));
                return Ok((vec![call], Reading::Json));
            }
            Provider::Bedrock if place.model.contains("rerank") => {}
            _ => return Err(none_of_it(place, "reranking")),
        }
        for name in body.names() {
            match name {
                "model" | "query" | "documents" | "top_n" | "return_documents" | "user"
                | "drop_params" => {}
                other => dropping.refuse(other)?,
            }
        }
        let query = body.needed("query")?;
        let documents = texts(body)?;
        let list: Vec<Json<'_>> = documents.iter().map(|text| Json::from(&**text)).collect();
        let mut json = object! {"query": &*query, "documents": list};
        json.maybe("top_n", body.read::<u64>("top_n", "a whole number")?);
        if place.model.contains("cohere") {
            json.put("api_version", 2_u64);
        }
        let call = Call::json(place.model_url("invoke")?, Json::from(json).to_bytes());
        Ok((vec![call], Reading::BedrockRanks))
    }

    /// As it came from a server that speaks the same.
    pub fn passed(&self, answer: &Answer<'_>) -> Option<Told> {
        #[derive(Deserialize)]
        struct Ranks {
            #[serde(rename = "results", alias = "data")]
            _results: Vec<serde::de::IgnoredAny>,
        }
        let _: Ranks = json_body(answer.body)?;
        let counted = usage::read(answer.body, Output::Text);
        let units = counted.units.unwrap_or(1);
        Some(Told {
            tokens: counted.tokens,
            pieces: Extra {
                units,
                ..Extra::default()
            },
            ..Told::json(answer.body.clone())
        })
    }

    /// Bedrock's answer, made into Cohere's.
    pub fn ranks(&self, body: &Body<'_>, id: &str, answer: &Answer<'_>) -> Option<Told> {
        #[derive(Deserialize)]
        struct Ranks<'a> {
            #[serde(borrow)]
            results: Vec<Rank<'a>>,
        }
        #[derive(Deserialize)]
        struct Rank<'a> {
            index: u64,
            #[serde(borrow)]
            relevance_score: &'a RawValue,
        }
        let ranks: Ranks<'_> = json_body(answer.body)?;
        let documents = if self.shows {
            texts(body).ok()?
        } else {
            Vec::new()
        };
        let mut results = Vec::with_capacity(ranks.results.len());
        for rank in ranks.results {
            let mut result = object! {"index": rank.index, "relevance_score": rank.relevance_score};
            if self.shows {
                let text = documents.get(usize::try_from(rank.index).ok()?)?;
                result.put("document", object! {"text": &**text});
            }
            results.push(Json::from(result));
        }
        let units = self.estimate().extra.units;
        let billed = object! {"search_units": units};
        let json = object! {
            "id": id, "results": results, "meta": object! {"billed_units": billed},
        };
        Some(Told {
            pieces: Extra {
                units,
                ..Extra::default()
            },
            // Bedrock does not say how it cut the documents, where they are long.
            pieces_counted: self.units(|bytes| bytes) == units,
            ..Told::json(Json::from(json).to_bytes())
        })
    }
}

/// The documents as texts; some write them as objects.
fn texts<'a>(body: &Body<'a>) -> Result<Vec<Cow<'a, str>>> {
    #[derive(Deserialize)]
    struct Document<'a> {
        #[serde(borrow)]
        text: Text<'a>,
    }
    let list: Vec<&'a RawValue> = body.read("documents", "a list")?.unwrap_or_default();
    list.into_iter()
        .map(|raw| {
            let text = serde_json::from_str::<Text<'a>>(raw.get())
                .or_else(|_| serde_json::from_str::<Document<'a>>(raw.get()).map(|d| d.text));
            text.map(|Text(text)| text).map_err(|_| {
                Error::invalid_field("documents", "documents are strings, or objects with text.")
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_documents_are_several_and_a_hundred_are_one_request() {
        let rerank = |query, documents: Vec<u64>| Rerank {
            query,
            documents,
            shows: false,
        };
        assert_eq!(rerank(10, vec![100; 100]).bound().pieces.units, 1);
        assert_eq!(rerank(10, vec![100; 101]).bound().pieces.units, 2);
        assert_eq!(rerank(100, vec![4_001; 10]).bound().pieces.units, 2);
        assert_eq!(rerank(100, vec![4_000; 10]).estimate().extra.units, 1);
    }
}
