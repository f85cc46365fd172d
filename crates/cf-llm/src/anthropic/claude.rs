//! What the generations of Claude take, by the version in a model's name
//! (`claude-opus-4-7`, `us.anthropic.claude-haiku-4-5-20251001-v1:0`).

use cf_base::Result;

use crate::conversation::{Content, Conversation, Dropping, Effort, Speaker, ToolChoice};

/// Least tokens that thinking may be given.
const LEAST_BUDGET: u64 = 1024;

/// A model by its generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claude {
    version: (u32, u32),
    /// Fable and Mythos: they cannot be kept from thinking.
    thinks_always: bool,
}

/// How a model is told to think.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Thinking {
    /// As much as the model sees fit.
    Adaptive,
    /// So many tokens.
    Budget(u64),
    /// Not at all, said aloud.
    Disabled,
}

impl Claude {
    /// The generation in a name; the newest where none is told.
    pub fn of(model: &str) -> Self {
        let model = model.to_ascii_lowercase();
        let tail = model.split_once("claude").map_or("", |(_, tail)| tail);
        let mut numbers = tail
            .split(|c: char| !c.is_ascii_alphanumeric())
            .skip_while(|word| word.parse::<u32>().is_err())
            // A date is no version.
            .map_while(|word| word.parse::<u32>().ok().filter(|n| *n < 100));
        let version = match (numbers.next(), numbers.next()) {
            (Some(major), minor) => (major, minor.unwrap_or(0)),
            (None, _) => (u32::MAX, 0),
        };
        Self {
            version,
            thinks_always: ["fable", "mythos"].iter().any(|name| tail.contains(name)),
        }
    }

    /// Whether it cannot be made to call a tool: so from Fable and Mythos 5.1 on.
    fn calls_as_it_likes(self) -> bool {
        self.thinks_always && self.version >= (5, 1) && self.version.0 != u32::MAX
    }

    /// Takes out of a request what the model refuses of it.
    pub fn restrict(self, c: &mut Conversation<'_>, dropping: &mut Dropping) -> Result<()> {
        if self.thinks_always && c.effort == Some(Effort::None) {
            dropping.refuse_because("reasoning_effort", || {
                "it cannot be kept from thinking; low is the least".into()
            })?;
            c.effort = None;
        }
        if self.calls_as_it_likes() && demands_a_call(c) {
            dropping.refuse_because("tool_choice", || {
                "it cannot be made to call a tool; auto and none are what it takes".into()
            })?;
            c.tool_choice = Some(ToolChoice::Auto);
        }
        Ok(())
    }

    /// Whether it decides itself how much it thinks.
    pub fn is_adaptive(self) -> bool {
        self.version >= (4, 6)
    }

    /// Whether it can think at all.
    pub fn can_think(self) -> bool {
        self.version >= (3, 7)
    }

    /// Whether it takes temperature, `top_p` and `top_k`.
    pub fn takes_sampling(self) -> bool {
        self.version < (4, 7)
    }

    /// Whether it looks at pictures of up to 2,576 instead of 1,568 pixels.
    pub fn sees_finely(self) -> bool {
        self.version >= (4, 7)
    }

    /// Whether it refuses to be told not to think; it does not unless told.
    fn is_silent_unless_told(self) -> bool {
        self.version == (4, 7) || self.version == (4, 8)
    }

    /// How a request makes it think, and the effort that is told beside.
    pub fn thinking(
        self,
        c: &Conversation<'_>,
        limit: u64,
    ) -> (Option<Thinking>, Option<&'static str>) {
        let effort = match (c.effort, c.thinking_budget) {
            (Some(effort), _) => effort,
            (None, Some(budget)) => Effort::of_budget(budget),
            (None, None) => return (None, None),
        };
        if !self.can_think() {
            return (None, None);
        }
        if effort == Effort::None {
            let told = self.is_adaptive() && !self.is_silent_unless_told();
            return (told.then_some(Thinking::Disabled), None);
        }
        // A call that is demanded leaves no room for thinking first: Claude refuses
        // the two together, and of the two the effort is the softer wish. Those that
        // always think would refuse to be told not to.
        let is_forced = !self.thinks_always && demands_a_call(c);
        if self.is_adaptive() {
            let effort = match effort {
                Effort::Minimal => Effort::Low,
                // Without thinking there is no more than that.
                Effort::Xhigh | Effort::Max if is_forced => Effort::High,
                other => other,
            };
            let told = !is_forced || !self.is_silent_unless_told();
            let thinking = if is_forced {
                Thinking::Disabled
            } else {
                Thinking::Adaptive
            };
            return (told.then_some(thinking), Some(effort.as_str()));
        }
        if is_forced {
            return (None, None);
        }
        // A turn with calls must begin with its thinking; a client that did not
        // keep that would get an error, so the model goes on without.
        if last_calls_without_thinking(c) {
            return (None, None);
        }
        let budget = c.thinking_budget.unwrap_or(match effort {
            Effort::None | Effort::Minimal | Effort::Low => 1_024,
            Effort::Medium => 8_192,
            Effort::High | Effort::Xhigh | Effort::Max => 24_576,
        });
        // Some of the limit stays for the answer itself.
        let budget = budget.min(limit / 2);
        (
            (budget >= LEAST_BUDGET).then_some(Thinking::Budget(budget)),
            None,
        )
    }
}

fn demands_a_call(c: &Conversation<'_>) -> bool {
    matches!(
        c.tool_choice,
        Some(ToolChoice::Required | ToolChoice::Tool(_))
    )
}

fn last_calls_without_thinking(c: &Conversation<'_>) -> bool {
    let last = c
        .turns
        .iter()
        .rev()
        .find(|turn| turn.speaker == Speaker::Assistant);
    last.is_some_and(|turn| {
        let has = |test: fn(&Content<'_>) -> bool| turn.blocks.iter().any(|b| test(&b.content));
        has(|c| matches!(c, Content::Call(_)))
            && !has(|c| matches!(c, Content::Thinking { .. } | Content::Redacted(_)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_are_read_from_names() {
        for (name, version) in [
            ("claude-3-7-sonnet-20250219", (3, 7)),
            ("claude-opus-4-20250514", (4, 0)),
            ("claude-sonnet-4-5@20250929", (4, 5)),
            ("us.anthropic.claude-haiku-4-5-20251001-v1:0", (4, 5)),
            ("claude-fable-5-1", (5, 1)),
            ("claude-sonnet-5", (5, 0)),
            ("claude-mythos-preview", (u32::MAX, 0)),
            ("my-deployment", (u32::MAX, 0)),
        ] {
            assert_eq!(Claude::of(name).version, version, "{name}");
        }
    }

    #[test]
    fn a_call_that_is_demanded_is_made_without_thinking() {
        let asked = Conversation {
            effort: Some(Effort::Max),
            tool_choice: Some(ToolChoice::Required),
            ..Conversation::default()
        };
        for (model, expected) in [
            ("claude-haiku-4-5", (None, None)),
            ("claude-opus-4-7", (None, Some("high"))),
            ("claude-sonnet-5", (Some(Thinking::Disabled), Some("high"))),
            ("claude-fable-5", (Some(Thinking::Adaptive), Some("max"))),
        ] {
            assert_eq!(
                Claude::of(model).thinking(&asked, 9_000),
                expected,
                "{model}"
            );
        }
    }

    #[test]
    fn who_always_thinks_is_told_neither_to_stop_nor_to_call() {
        let asked = || Conversation {
            effort: Some(Effort::None),
            tool_choice: Some(ToolChoice::Required),
            ..Conversation::default()
        };
        for (model, dropped) in [
            ("claude-sonnet-5", &[][..]),
            ("claude-fable-5", &["reasoning_effort"]),
            ("claude-mythos-preview", &["reasoning_effort"]),
            (
                "us.anthropic.claude-fable-5-1",
                &["reasoning_effort", "tool_choice"],
            ),
            ("claude-mythos-5-2", &["reasoning_effort", "tool_choice"]),
        ] {
            let mut conversation = asked();
            let mut dropping = Dropping::new(true, "Anthropic");
            let claude = Claude::of(model);
            claude
                .restrict(&mut conversation, &mut dropping)
                .expect("it is left out");
            assert_eq!(dropping.into_dropped(), dropped, "{model}");
            let is_auto = conversation.tool_choice == Some(ToolChoice::Auto);
            assert_eq!(is_auto, dropped.contains(&"tool_choice"), "{model}");
            let mut strictly = Dropping::new(false, "Anthropic");
            let refused = claude.restrict(&mut asked(), &mut strictly).is_err();
            assert_eq!(refused, !dropped.is_empty(), "{model}");
        }
    }

    #[test]
    fn effort_becomes_what_the_generation_knows() {
        let asked = |effort| Conversation {
            effort: Some(effort),
            ..Conversation::default()
        };
        let think = |model, effort, limit| Claude::of(model).thinking(&asked(effort), limit);
        assert_eq!(
            think("claude-opus-4-7", Effort::Xhigh, 9),
            (Some(Thinking::Adaptive), Some("xhigh"))
        );
        assert_eq!(
            think("claude-haiku-4-5", Effort::Medium, 10_000),
            (Some(Thinking::Budget(5_000)), None)
        );
        assert_eq!(think("claude-haiku-4-5", Effort::Low, 2_000), (None, None));
        assert_eq!(think("claude-3-5-haiku", Effort::Low, 9_000), (None, None));
        assert_eq!(think("claude-opus-4-7", Effort::None, 9), (None, None));
        assert_eq!(
            think("claude-sonnet-5", Effort::None, 9),
            (Some(Thinking::Disabled), None)
        );
    }
}
